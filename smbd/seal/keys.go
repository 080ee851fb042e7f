package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
)

// Preauth is a PreauthIntegrityHashValue: SHA-512 over what it was and each message in turn. [MS-SMB2] 3.3.5.4, 3.3.5.5.
// It is a value: a copy branches, as each session's chain branches from its connection's.
type Preauth [sha512.Size]byte

// Update takes in the next message, from the SMB2 header on.
func (p *Preauth) Update(msg []byte) {
	h := sha512.New()
	h.Write(p[:])
	h.Write(msg)
	h.Sum(p[:0])
}

// Keys are what a session signs and seals with, from the server's side. A client's Encrypt is the server's Decrypt.
type Keys struct {
	Signing     []byte
	Application []byte // nil before 3.0
	Encrypt     []byte // server to client; nil before 3.0
	Decrypt     []byte // client to server; nil before 3.0
}

// Derive makes a session's keys from what authentication agreed on, [MS-SMB2] 3.3.5.5.3 and 3.1.4.2. dialect is DialectRevision;
// preauth is the session's hash, which only 3.1.1 uses; c may be 0 where no cipher was negotiated.
func Derive(dialect uint16, c CipherID, sessionKey []byte, preauth *Preauth) Keys {
	// Session.SessionKey is the first 16 bytes, padded with zeros on the right.
	key := make([]byte, 16)
	copy(key, sessionKey)
	switch {
	case dialect < 0x300:
		return Keys{Signing: key}
	case dialect < 0x311:
		return Keys{
			Signing:     kdf(key, "SMB2AESCMAC\x00", []byte("SmbSign\x00"), 16),
			Application: kdf(key, "SMB2APP\x00", []byte("SmbRpc\x00"), 16),
			Encrypt:     kdf(key, "SMB2AESCCM\x00", []byte("ServerOut\x00"), 16),
			Decrypt:     kdf(key, "SMB2AESCCM\x00", []byte("ServerIn \x00"), 16),
		}
	}
	// AES-256 starts from Session.FullSessionKey.
	n, full := c.KeySize(), key
	if n == 0 {
		n = 16
	}
	if n == 32 {
		full = sessionKey
	}
	return Keys{
		Signing:     kdf(key, "SMBSigningKey\x00", preauth[:], 16),
		Application: kdf(key, "SMBAppKey\x00", preauth[:], 16),
		Encrypt:     kdf(full, "SMBS2CCipherKey\x00", preauth[:], n),
		Decrypt:     kdf(full, "SMBC2SCipherKey\x00", preauth[:], n),
	}
}

// kdf is SP 800-108's KDF in counter mode with HMAC-SHA256, r = 32, for at most one block of output.
func kdf(key []byte, label string, context []byte, n int) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{0, 0, 0, 1})
	h.Write([]byte(label))
	h.Write([]byte{0})
	h.Write(context)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(n)*8))
	return h.Sum(nil)[:n]
}
