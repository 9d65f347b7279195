// The button that copies the key; where the browser forbids that (a page without TLS), it selects it.
document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("copy-key");
    const key = document.getElementById("api-key");
    button.hidden = false;
    button.addEventListener("click", async () => {
        window.getSelection().selectAllChildren(key);
        try {
            await navigator.clipboard.writeText(key.textContent);
            button.textContent = button.dataset.done;
        } catch {
            document.execCommand("copy");
        }
    });
});
