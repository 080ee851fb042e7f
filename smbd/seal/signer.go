package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	mac "github.com/tink-crypto/tink-go/v2/mac/subtle"
)

// Algorithm is a SigningAlgorithmId, [MS-SMB2] 2.2.3.1.7.
type Algorithm uint16

// Signing algorithms, with the wire's values.
const (
	HMACSHA256 Algorithm = 0 // dialects 2.0.2 and 2.1
	AESCMAC    Algorithm = 1 // dialects 3.x unless negotiated otherwise
	AESGMAC    Algorithm = 2 // 3.1.1, negotiated
)

func (a Algorithm) String() string {
	switch a {
	case HMACSHA256:
		return "HMAC-SHA256"
	case AESCMAC:
		return "AES-128-CMAC"
	case AESGMAC:
		return "AES-128-GMAC"
	}
	return fmt.Sprintf("signing(%d)", uint16(a))
}

// Offsets in the SMB2 header, [MS-SMB2] 2.2.1.
const (
	offCommand   = 12
	offFlags     = 16
	offMessageID = 24
	offSignature = 48
	headerSize   = 64

	flagResponse  = 0x1 // SMB2_FLAGS_SERVER_TO_REDIR
	flagSigned    = 0x8 // SMB2_FLAGS_SIGNED
	commandCancel = 12
)

// Signer signs and verifies one SMB2 message, an element of a compound including its padding by itself.
type Signer interface {
	// Sign sets SMB2_FLAGS_SIGNED and the header's Signature. msg must hold a whole header.
	Sign(msg []byte)
	// Verify compares the header's Signature. While it works, the field is zero; afterwards msg is as before.
	Verify(msg []byte) bool
	// Algorithm names the algorithm.
	Algorithm() Algorithm
}

// NewSigner makes a Signer. Only the key's first 16 bytes count: Session.SessionKey has 16, [MS-SMB2] 3.3.1.8.
func NewSigner(a Algorithm, key []byte) (Signer, error) {
	if len(key) < 16 {
		return nil, fmt.Errorf("seal: a signing key of %d bytes", len(key))
	}
	key = append([]byte(nil), key[:16]...)
	var sum func(sum *[16]byte, msg []byte)
	switch a {
	case HMACSHA256:
		sum = hmacSum(key)
	case AESCMAC:
		c, err := mac.NewAESCMAC(key, 16)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		sum = func(sum *[16]byte, msg []byte) {
			m, _ := c.ComputeMAC(msg) // documented never to fail once the key is accepted
			copy(sum[:], m)
		}
	case AESGMAC:
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		g, err := cipher.NewGCM(b)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		sum = func(sum *[16]byte, msg []byte) { gmac(g, sum, msg) }
	default:
		return nil, fmt.Errorf("seal: unknown signing algorithm %d", uint16(a))
	}
	return &signer{a, sum}, nil
}

type signer struct {
	algorithm Algorithm
	sum       func(sum *[16]byte, msg []byte) // of a message whose Signature is zero
}

func (s *signer) Algorithm() Algorithm { return s.algorithm }

// Sign: [MS-SMB2] 3.1.4.1.
func (s *signer) Sign(msg []byte) {
	msg[offFlags] |= flagSigned
	field := msg[offSignature:headerSize]
	clear(field)
	sum := sums.Get().(*[16]byte)
	s.sum(sum, msg)
	copy(field, sum[:])
	sums.Put(sum)
}

// Verify: [MS-SMB2] 3.1.5.1.
func (s *signer) Verify(msg []byte) bool {
	if len(msg) < headerSize {
		return false
	}
	field := msg[offSignature:headerSize]
	var got [16]byte
	copy(got[:], field)
	clear(field)
	want := sums.Get().(*[16]byte)
	defer sums.Put(want)
	s.sum(want, msg)
	copy(field, got[:])
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// sums are what would otherwise be allocated for each signature.
var sums = sync.Pool{New: func() any { return new([16]byte) }}

func hmacSum(key []byte) func(*[16]byte, []byte) {
	pool := sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	return func(sum *[16]byte, msg []byte) {
		h := pool.Get().(hash.Hash)
		defer pool.Put(h)
		h.Reset()
		h.Write(msg)
		var full [sha256.Size]byte
		copy(sum[:], h.Sum(full[:0]))
	}
}

var nonces = sync.Pool{New: func() any { return new([12]byte) }}

// The GMAC nonce is MessageId and 32 bits, of which the lowest says "response" and the next one "CANCEL". [MS-SMB2] 3.1.4.1.
func gmac(g cipher.AEAD, sum *[16]byte, msg []byte) {
	nonce := nonces.Get().(*[12]byte)
	defer nonces.Put(nonce)
	copy(nonce[:8], msg[offMessageID:])
	nonce[8] = msg[offFlags] & flagResponse
	if binary.LittleEndian.Uint16(msg[offCommand:]) == commandCancel {
		nonce[8] |= 2
	}
	g.Seal(sum[:0], nonce[:], nil, msg)
}
