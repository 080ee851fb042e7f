// Package seal signs and encrypts SMB2 messages: [MS-SMB2] 3.1.4.1 to 3.1.4.3, and derives the keys for it, [MS-SMB2] 3.1.4.2.
//
// A message is the bytes from the SMB2 header on, without the direct TCP length. Signers and ciphers may be used by many goroutines at once.
//
// No locks.
package seal
