// The form is sent by itself; the button is for browsers without script.
document.forms[0].submit();
