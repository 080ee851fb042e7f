// Package krb5 is the acceptor's side of Kerberos V5 under the GSS-API, RFC 4120 and RFC 4121: a keytab and a client's token in, a
// principal, keys and per-message tokens out. It is the only door to the Kerberos library, whose decoders it guards: the length of every
// ciphertext is checked before it is opened, a panic is a refusal, only AES is let in, and replays are remembered here.
//
// Lock order: Keytab.mu and replays.mu are leaves.
package krb5
