package auth

import "fmt"

// Reason is why somebody may not come in. The client learns none of them: all are STATUS_LOGON_FAILURE.
type Reason uint8

// Reasons.
const (
	Malformed        Reason = iota + 1 // bytes that no client should send
	NoMechanism                        // the client offers nothing that may be used here
	OldProtocol                        // LM, NTLMv1 or OEM strings
	UnknownUser                        // nobody has this name
	WrongPassword                      //
	AnonymousRefused                   // an anonymous client where none may come in
	Tampered                           // a MIC that does not fit: somebody changed the exchange
	BadTicket                          // Kerberos: a ticket that does not open, has expired, or comes twice
)

func (r Reason) String() string {
	names := [...]string{"", "malformed token", "no common mechanism", "NTLMv1 or LM refused", "unknown user", "wrong password",
		"anonymous refused", "tampered exchange", "ticket refused"}
	if int(r) < len(names) {
		return names[r]
	}
	return "reason"
}

// Error is a refusal, with what the client said of itself where it got that far.
type Error struct {
	Reason      Reason
	User        string
	Domain      string
	Workstation string
	Err         error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("auth: %v: %v", e.Reason, e.Err)
	}
	return "auth: " + e.Reason.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func malformed(format string, args ...any) error {
	return &Error{Reason: Malformed, Err: fmt.Errorf(format, args...)}
}
