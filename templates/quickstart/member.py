import base64, json, os, time, urllib.error, urllib.request

GATEWAY = os.environ.get("GUICHET", "http://127.0.0.1:8080")
KEY = os.environ.get("KEY", "demo:your-api-key")  # client id and API key
BANK = os.environ.get("BANK", "mx_bank_oauth")  # one of GET /institutions


def call(method, path, body=None):
    headers = {
        "Authorization": "Basic " + base64.b64encode(KEY.encode()).decode(),
        "Accept-Version": "v20250224",
        "Content-Type": "application/json",
    }
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(GATEWAY + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as refusal:
        if refusal.code == 409:  # it is there already
            return None
        raise SystemExit(json.load(refusal)["error"]["message"])


call("POST", "/users", {"user": {"id": "ada"}})
wanted = {"institution_code": BANK, "is_oauth": True}
member = call("POST", "/users/ada/members", {"member": wanted})["member"]
print("Open this in a browser:", member["oauth_window_uri"], flush=True)

# 1: the person is still busy. 2: connected. 3: it ended without a connection.
state = {"auth_status": 1}
while state["auth_status"] == 1:
    time.sleep(1)
    state = call("GET", f"/oauth_states/{member['oauth_state_guid']}")["oauth_state"]
connected = state["auth_status"] == 2
print("Connected." if connected else f"Not connected: reason {state['error_reason']}.")
