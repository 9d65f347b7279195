// Label the search of the users of a key for screen readers, once Django's script has made it without a label.
django.jQuery(() => {
    const label = document.querySelector("label[for=id_users]");
    const search = document.querySelector(".field-users .select2-search__field");
    if (label && search) search.setAttribute("aria-label", label.textContent.trim());
});
