GUICHET=${GUICHET:-http://127.0.0.1:8080}     # the demo's address
KEY=${KEY:-demo:your-api-key}                 # client id and API key
BANK=${BANK:-mx_bank_oauth}                   # one of GET /institutions

# 1. A user of yours. A second time this says that there is one already.
curl -sS -u "$KEY" "$GUICHET/users" \
  -H 'Content-Type: application/json' \
  -d '{"user": {"id": "ada"}}'

# 2. A member: one connection of that user. Its oauth_window_uri is a link
#    that works once: open it in a browser.
curl -sS -u "$KEY" "$GUICHET/users/ada/members" \
  -H 'Content-Type: application/json' \
  -d '{"member": {"institution_code": "'"$BANK"'", "is_oauth": true}}'

# 3. Where the newest members stand. PENDING becomes CONNECTED.
curl -sS -u "$KEY" "$GUICHET/users/ada/members"
