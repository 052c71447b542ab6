package pgdb

// CheckSettings looks at a view in place of the server's settings.
var CheckSettings = checkSettings
