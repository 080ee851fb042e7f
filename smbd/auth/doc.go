// Package auth is the acceptor's side of SMB's SESSION_SETUP: SPNEGO (RFC 4178, [MS-SPNG]) around NTLMv2 ([MS-NLMP]). NTLMv1 and LM are
// refused. The users are package accounts'.
//
// How to read: acceptor.go holds the exchange, spnego.go and ntlm.go the messages, ntlmv2.go the arithmetic, reason.go the refusals.
//
// No locks.
package auth
