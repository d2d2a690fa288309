"""`selfhost doctor`: what is wrong with this machine, and what a log or a report says.

Pure: `facts` is what was asked, `rules_*` turn it into findings, `links` says where to read on, `redact` takes out of a
report what is nobody's business. Asking is done in `selfhost.app.doctor`.
"""
