import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, HTTPServer

# The endpoint's `secret` in guichet.toml: whsec_ and Base64.
SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))


def is_genuine(headers, body):
    event, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    # Old messages may have been recorded: five minutes are enough.
    if not moment.isdigit() or abs(time.time() - int(moment)) > 300:
        return False
    signed = f"{event}.{moment}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    # While a secret is being changed there are two signatures.
    sent = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one, "v1," + expected) for one in sent)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        # The bytes as they came: parse them afterwards.
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = is_genuine(self.headers, body)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        if genuine:
            event = json.loads(body)
            print(event.get("type", "MEMBER"), event["action"], flush=True)


HTTPServer(("127.0.0.1", int(os.environ.get("PORT", 9000))), Receiver).serve_forever()
