"""Requests from inside another network namespace: `nsenter --net=... PYTHON asker.py HOST PORT < REQUESTS > ANSWERS`.

REQUESTS is a JSON list of {method, path, headers, body}; paths go out as they are. ANSWERS has [status, body] for each;
the status is 0 where nothing answers.
"""

from __future__ import annotations

import http.client
import json
import sys

host, port = sys.argv[1], int(sys.argv[2])
answers = []
for request in json.load(sys.stdin):
    connection = http.client.HTTPConnection(host, port, timeout=120)
    body = request.get("body", "").encode()
    try:
        connection.putrequest(request["method"], request["path"])
        for name, value in request.get("headers", {}).items():
            connection.putheader(name, value)
        if body or request["method"] == "POST":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        upgraded = answer.status == http.HTTPStatus.SWITCHING_PROTOCOLS
        answers.append([answer.status, "" if upgraded else answer.read().decode(errors="replace")])
    except OSError as error:
        answers.append([0, str(error)])
    finally:
        connection.close()
json.dump(answers, sys.stdout)
