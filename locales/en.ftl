### The pages in English.
###
### Every page may use:
###   $app, $institution           names, or the generic words below when a name is not known
###   $has-app, $has-institution   "yes" or "no": whether it is a real name
###
### A sentence that begins with a name has a variant for the case that the name is not known,
### because the generic words are written for the middle of a sentence.
### Plain words only: never "OAuth", "token", "callback", "session" or "state".

## What to say for a name that is not known

app-generic = the app you came from
institution-generic = your bank

## Around every page

title = { $heading } – { $app }
footer-purpose = { $has-app ->
    [no] This page connects apps to banks, and only when you agree.
   *[yes] { $app } uses this page to connect to { $institution }, and only when you agree.
}
footer-help = Get help from { $app }
support-code = Support code

## Buttons and links

action-continue = Continue to { $institution }
action-cancel = Do not connect
action-not-now = Not now
action-retry = Try again
action-check = Check again
action-reload = Try again now
action-return = Back to { $app }
action-institution = Open { $institution }
action-close = Close this window

## Before leaving for the bank

interstitial-heading = Connect { $institution } to { $app }
interstitial-body = You sign in at { $institution } and decide there. Your password stays with { $institution }; { $app } never sees it.
interstitial-shares = If you agree, { $app } can see:
share-accounts = Accounts you choose, with names and numbers
share-balances = Balances
share-transactions = Payments in and out
share-identity = Your name and contact details
share-unlisted = Only what { $institution } lists when it asks you

## Success

connected-heading = { $has-institution ->
    [no] Your bank is connected
   *[yes] { $institution } is connected
}
connected-body = What you agreed to share is now shared with { $app }.
connected-again = You had connected it before, and that connection is now up to date.
connected-close = You can close this window.
connected-return = You can go back to { $app } now.

## Endings without a connection; "…-retry" when there is a button to try again, "…-again" when not

cancelled-heading = You did not connect { $institution }
cancelled-body = Nothing was shared with { $app }.
cancelled-retry = If you change your mind, you can try again.
cancelled-again = If you change your mind, start again from { $app }.

denied-heading = { $has-institution ->
    [no] Your bank could not sign you in
   *[yes] { $institution } could not sign you in
}
denied-body = Nothing was shared with { $app }.
denied-retry = Check that you can sign in at { $institution } itself, then try again.
denied-again = Check that you can sign in at { $institution } itself, then start again from { $app }.

impeded-heading = { $has-institution ->
    [no] Your bank needs something from you
   *[yes] { $institution } needs something from you
}
impeded-body = It may have new terms to accept, or details for you to confirm. Nothing was shared with { $app }.
impeded-retry = Sign in at { $institution } to see what it needs, then come back and try again.
impeded-again = Sign in at { $institution } to see what it needs, then start again from { $app }.

provider-error-heading = { $has-institution ->
    [no] Your bank is having trouble
   *[yes] { $institution } is having trouble
}
provider-error-body = You did nothing wrong, and nothing was shared with { $app }.
provider-error-retry = Try again now, or come back a little later.
provider-error-again = Wait a little, then start again from { $app }.

server-error-heading = Something went wrong on our side
server-error-body = You did nothing wrong, and nothing was shared with { $app }.
server-error-retry = Please try again. If it keeps happening, send { $app } the support code below.
server-error-again = Please start again from { $app }. If it keeps happening, send them the support code below.

not-set-up-heading = { $has-app ->
    [no] You cannot connect to { $institution } at the moment
   *[yes] { $app } cannot connect to { $institution } at the moment
}
not-set-up-body = { $has-app ->
    [no] The connection to { $institution } is not set up correctly.
   *[yes] { $app }’s connection to { $institution } is not set up correctly.
} You did nothing wrong, and nothing was shared with { $app }.
not-set-up-next = Trying again does not help until this has been corrected. If you ask { $app } about it, send them the support code below.

duplicate-heading = { $has-institution ->
    [no] Your bank is already connected
   *[yes] { $institution } is already connected
}
duplicate-body = You connected this sign-in to { $app } before. Nothing was changed.
duplicate-next = Go back to { $app } and use the connection you have.

other-login-heading = That was a different sign-in
other-login-body = The connection you were renewing uses another sign-in at { $institution }. Nothing was changed.
other-login-next = To add the one you just used, go back to { $app } and make a new connection. To renew the old one, ask { $app } for a new link and sign in as you did before.

## Links that no longer lead anywhere

used-heading = This link has already been used
used-body = To keep you safe, each link works only once.
used-next = Ask { $app } for a new one.
used-check = If you opened it here a moment ago, check again. Otherwise ask { $app } for a new one.

resume-heading = You already started
resume-body = You opened this link here before, and { $institution } is not connected yet. You can go on.

expired-heading = This link has expired
expired-body = To keep you safe, a link works only for a short time. Nothing was shared.
expired-retry = You can try again.
expired-next = Ask { $app } for a new one.

superseded-heading = There is a newer link
superseded-body = This one stopped working when the newer one was made.
superseded-next = Use the newest link from { $app }.

unknown-heading = This link does not work
unknown-body = Part of it may be missing.
unknown-next = Go back to where you found it and open it again.

not-found-heading = There is nothing here
not-found-body = The address may be wrong, or part of it may be missing.
not-found-next = If you were connecting your bank, go back to { $app } and open the link there again.

## Shown to machines that make a preview of a link

preview-heading = Connect your bank
preview-body = Open this link in your browser to connect your bank. It is personal: please do not share it.

## Waiting, and answers we cannot use

busy-heading = One moment
busy-body = This is taking longer than usual. You do not have to do anything: this page tries again by itself.
busy-press = If nothing happens, press the button below.

maintenance-heading = { $has-institution ->
    [no] Your bank is not available right now
   *[yes] { $institution } is not available right now
}
maintenance-body = Nothing was shared with { $app }.
maintenance-minutes = { $count ->
    [one] It should be back in about a minute. Then you can check again here, or start again from { $app }.
   *[other] It should be back in about { $count } minutes. Then you can check again here, or start again from { $app }.
}
maintenance-hours = { $count ->
    [one] It should be back in about an hour. Please start again from { $app } then.
   *[other] It should be back in about { $count } hours. Please start again from { $app } then.
}
maintenance-days = { $count ->
    [one] It should be back in about a day. Please start again from { $app } then.
   *[other] It should be back in about { $count } days. Please start again from { $app } then.
}
maintenance-next = Wait a little, then start again from { $app }.

connecting-heading = Connecting { $institution }
connecting-body = This may take a moment. You do not have to do anything: this page goes on by itself.

pending-confirmation-heading = Almost there
pending-confirmation-body = You have agreed at { $institution }. { $app } now checks that it was you.
pending-confirmation-return = This page goes on by itself. If it does not, go back to { $app } to finish.
pending-confirmation-wait = You do not have to do anything: this page goes on by itself.

unconfirmed-heading = { $has-institution ->
    [no] Your bank was not connected
   *[yes] { $institution } was not connected
}
unconfirmed-body = { $app } did not confirm in time that it was you. Nothing was shared with { $app }.
unconfirmed-next = Please start again from { $app }, where you are signed in.

misdirected-heading = This link was made for somebody else
misdirected-body = You are signed in to { $app } as somebody else than the link was made for, so { $institution } was not connected. Nothing was shared.
misdirected-next = If somebody sent you this link, do not use it. To connect { $institution } for yourself, start from { $app }.

no-answer-heading = { $has-institution ->
    [no] Your bank came back without an answer
   *[yes] { $institution } came back without an answer
}
no-answer-body = Nothing was shared with { $app }.
no-answer-next = You can sign in at { $institution } again, or leave it for now.
no-answer-last-heading = { $has-institution ->
    [no] You have not finished at your bank
   *[yes] You have not finished at { $institution }
}
no-answer-last = You have gone to { $institution } as often as this link allows. Finish in the tab where it is open and check again here, or ask { $app } for a new link.

replaced-heading = You went on in another tab
replaced-body = This tab stopped when you did. Please finish in the other one.
replaced-next = Check again here when you are done.

bad-return-heading = { $has-institution ->
    [no] We could not read your bank’s answer
   *[yes] We could not read { $institution }’s answer
}
bad-return-body = It changed nothing.
bad-return-next = Go back to { $app } and start again.

wrong-browser-heading = Please go on in the browser where you started
wrong-browser-body = For your safety, only the browser where you started can show how it went.
wrong-browser-next = Go back to that browser. If it does not go on there, open { $app } and see whether { $institution } is connected.
