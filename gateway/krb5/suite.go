package krb5

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// suite is an encryption type's sizes in bytes.
type suite struct {
	key, confounder, checksum int
	checksumType              int32
}

// suites are the encryption types that are let in: AES of RFC 3962 and RFC 8009. DES, 3DES and RC4 are refused, RFC 6649, RFC 8429.
var suites = map[int32]suite{
	etypeID.AES128_CTS_HMAC_SHA1_96:    {16, 16, 12, 15},
	etypeID.AES256_CTS_HMAC_SHA1_96:    {32, 16, 12, 16},
	etypeID.AES128_CTS_HMAC_SHA256_128: {16, 16, 16, 19},
	etypeID.AES256_CTS_HMAC_SHA384_192: {32, 16, 24, 20},
}

var errCipher = errors.New("does not decrypt")

// decrypt looks at the length before the library does, which slices first, and at the key's, which a ticket may name as it likes.
func decrypt(k types.EncryptionKey, usage uint32, cipher []byte) (plain []byte, err error) {
	s, ok := suites[k.KeyType]
	if !ok || len(k.KeyValue) != s.key {
		return nil, fmt.Errorf("encryption type %d: refused", k.KeyType)
	}
	if len(cipher) < s.confounder+s.checksum+1 {
		return nil, errCipher
	}
	defer func() {
		if p := recover(); p != nil {
			plain, err = nil, errCipher
		}
	}()
	et, err := crypto.GetEtype(k.KeyType)
	if err != nil {
		return nil, err
	}
	if plain, err = et.DecryptMessage(k.KeyValue, cipher, usage); err != nil {
		return nil, errCipher
	}
	return plain, nil
}

func encrypt(k types.EncryptionKey, usage uint32, plain []byte) ([]byte, error) {
	et, err := crypto.GetEtype(k.KeyType)
	if err != nil {
		return nil, err
	}
	_, cipher, err := et.EncryptMessage(k.KeyValue, plain, usage)
	return cipher, err
}

// checksum is the keyed checksum of the key's encryption type, RFC 3961 §3.
func checksum(k types.EncryptionKey, usage uint32, text []byte) ([]byte, error) {
	et, err := crypto.GetEtype(k.KeyType)
	if err != nil {
		return nil, err
	}
	return et.GetChecksumHash(k.KeyValue, text, usage)
}

// fresh is a new key of the same encryption type.
func fresh(etype int32) types.EncryptionKey {
	b := make([]byte, suites[etype].key)
	rand.Read(b)
	return types.EncryptionKey{KeyType: etype, KeyValue: b}
}
