package auth

import (
	"errors"
	"fmt"
)

// onTicket takes an AP-REQ and answers with an AP-REP, where the client asked for one. RFC 4121 §4.1, RFC 4178 §5.
func (a *Acceptor) onTicket(token, mic []byte) (state, []byte, error) {
	c, reply, err := a.cfg.Kerberos.Accept(token)
	if err != nil {
		return failed, nil, &Error{Reason: BadTicket, Err: err}
	}
	var known bool
	if a.user, known = a.cfg.Principal(c.Name, c.Realm); !known {
		return failed, nil, &Error{Reason: UnknownUser, User: c.Principal(), Err: errors.New("the principal has no account here")}
	}
	a.ticket, a.key = c, c.SessionKey()
	r := negTokenResp{state: stateCompleted, mech: a.mech, token: reply}
	if len(mic) == 0 && !a.needMIC {
		return done, r.append(nil), nil
	}
	if r.mic, err = c.MIC(a.mechs); err != nil {
		return failed, nil, fmt.Errorf("mechListMIC: %w", err)
	}
	if len(mic) == 0 {
		r.state = stateIncomplete
		return checked, r.append(nil), nil
	}
	if !a.verifyMechListMIC(0, mic) {
		return failed, nil, &Error{Reason: Tampered, User: c.Principal(), Err: errors.New("mechListMIC is wrong")}
	}
	return done, r.append(nil), nil
}
