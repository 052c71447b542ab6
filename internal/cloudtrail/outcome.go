package cloudtrail

import (
	"strings"

	"auditlog/internal/canon"
)

// outcome writes outcome, severity and message from errorCode and errorMessage, and from the answer of a console sign-in,
// whose failure is told there alone. metadata keeps the code.
func (m *mapping) outcome() {
	outcome, severity := "success", "INFO"
	switch code := m.record.Get("errorCode").Text(); {
	case code != "":
		outcome, severity = ofCode(code)
	case string(m.record.Get("responseElements").Get("ConsoleLogin").Bytes()) == "Failure":
		outcome, severity = "denied", "WARNING"
	}
	m.str("outcome", []byte(outcome))
	m.str("severity", []byte(severity))
	if v := m.record.Get("errorMessage"); v.Kind() == canon.String && len(v.Bytes()) > 0 && len(v.Bytes()) <= maxMessage {
		m.str("message", v.Bytes())
		m.carry("errorMessage")
	}
}

// refusals are the codes by which services of AWS say that the caller may not, without the prefix "Client." that EC2 puts
// before its codes.
var refusals = []string{
	"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "UnauthorizedException",
	"NotAuthorized", "NotAuthorizedException", "AuthorizationError", "AuthFailure", "Forbidden", "ForbiddenException",
}

// faults begin or end the codes that tell of the service's own trouble or of its limits; all other codes tell of a
// mistake of the caller.
var faults = []string{"Internal", "Server.", "ServiceUnavailable", "Unavailable", "Throttling", "RequestLimitExceeded", "TooManyRequests"}

// ofCode tells a refusal (denied, WARNING) from a fault of the service (failure, ERROR) and from a mistake of the caller
// (failure, WARNING).
func ofCode(code string) (outcome, severity string) {
	bare := strings.TrimPrefix(code, "Client.")
	for _, r := range refusals {
		if bare == r {
			return "denied", "WARNING"
		}
	}
	for _, f := range faults {
		if strings.HasPrefix(bare, f) {
			return "failure", "ERROR"
		}
	}
	return "failure", "WARNING"
}
