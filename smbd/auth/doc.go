// Package auth is the acceptor's side of SMB's SESSION_SETUP: SPNEGO (RFC 4178, [MS-SPNG]) around NTLMv2 ([MS-NLMP]), and the file of users
// that it checks against. NTLMv1 and LM are refused.
//
// How to read: acceptor.go holds the exchange, spnego.go and ntlm.go the messages, ntlmv2.go the arithmetic, userfile.go the users.
//
// Lock order: UserFile.mu alone.
package auth
