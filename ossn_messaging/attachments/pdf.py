"""Whether a PDF opens."""

from ossn_messaging.attachments.rules import Reason, Rejected

try:
    import pypdfium2 as pdfium
    from pypdfium2 import raw
except ImportError:  # the extra ``documents``
    pdfium = None


def check(content: bytes, active_content: str) -> None:
    """Raise ``Rejected`` unless the PDF opens in the engine of Chromium, if that is installed."""
    if pdfium is None:
        return
    try:
        pdfium.PdfDocument(content).close()
    except pdfium.PdfiumError as error:
        if error.err_code not in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise Rejected(Reason.DAMAGED) from error
