"""Bytes of files over HTTP into parts on disk: many ranges at once, resumed, verified. Knows no hub, recipe or store.

types     what callers give and get: Transfer, MoveOptions, Progress -> Moved
extents   which bytes of a file are there, which are missing
answers   what an answer to a range request means
retry     what may be tried again, and when
limit     one bandwidth for all threads
halt      how all threads are stopped
client    HTTP itself: proxies, certificates, redirects
stream    one range with all its retries
part      one file on disk: lock, journal, digest
file      one file: what is asked, what is made of the answers, the verdict
pool      `move_all`, `fetch_range`: the threads
"""
