"""One self-contained HTML page: of verdicts, and of what receipts say of a period. Pure: values to text.

``markup`` escapes and builds elements, ``document`` puts them with style and script into one file that no network and no
other page takes part in, ``report`` and ``findings`` are the page of verdicts, ``chart`` its history, ``audit`` the page
for an auditor. ``page.html``, ``page.css`` and ``page.js`` are what the file consists of besides.
"""
