"""The values of the pages: from the clients' models to what a template prints. No HTML and no request in here."""
