package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/pion/dtls/v3/pkg/crypto/ccm"
)

// CipherID is a cipher of SMB2_ENCRYPTION_CAPABILITIES, [MS-SMB2] 2.2.3.1.2.
type CipherID uint16

// Ciphers, with the wire's values.
const (
	AES128CCM CipherID = 1 // dialects 3.0 and 3.0.2
	AES128GCM CipherID = 2
	AES256CCM CipherID = 3
	AES256GCM CipherID = 4
)

func (c CipherID) String() string {
	switch c {
	case AES128CCM:
		return "AES-128-CCM"
	case AES128GCM:
		return "AES-128-GCM"
	case AES256CCM:
		return "AES-256-CCM"
	case AES256GCM:
		return "AES-256-GCM"
	}
	return fmt.Sprintf("cipher(%d)", uint16(c))
}

// KeySize is the length of the cipher's keys in bytes, 0 for a cipher we do not know.
func (c CipherID) KeySize() int {
	switch c {
	case AES128CCM, AES128GCM:
		return 16
	case AES256CCM, AES256GCM:
		return 32
	}
	return 0
}

// TRANSFORM_HEADER, [MS-SMB2] 2.2.41.
const (
	TransformSize = 52
	TagSize       = 16

	offTransformSignature = 4
	offTransformNonce     = 20
	offTransformOriginal  = 36
	offTransformFlags     = 42
	offTransformSession   = 44
	transformEncrypted    = 1 // Flags of 3.1.1; in 3.0 the field is EncryptionAlgorithm and 1 is AES-128-CCM
)

// IsTransform reports whether msg begins with a TRANSFORM_HEADER's ProtocolId.
func IsTransform(msg []byte) bool {
	return len(msg) >= 4 && msg[0] == 0xfd && msg[1] == 'S' && msg[2] == 'M' && msg[3] == 'B'
}

// TransformSession is the SessionId of a TRANSFORM_HEADER, which says whose cipher opens it.
func TransformSession(msg []byte) (id uint64, ok bool) {
	if !IsTransform(msg) || len(msg) < TransformSize {
		return 0, false
	}
	return binary.LittleEndian.Uint64(msg[offTransformSession:]), true
}

// Cipher seals what we send on a session and opens what the other side sent. All channels of a session share one, because the nonce
// must not repeat under a session's key.
type Cipher interface {
	// Seal appends a TRANSFORM_HEADER and the encrypted plain to dst. dst and plain must not overlap.
	Seal(dst, plain []byte) []byte
	// SealInPlace seals a message behind its first TransformSize bytes, which become the TRANSFORM_HEADER. TagSize bytes of capacity
	// behind it are overwritten.
	SealInPlace(msg []byte)
	// Open appends to dst what the encrypted message msg holds. dst and msg must not overlap.
	Open(dst, msg []byte) ([]byte, error)
	// OpenInPlace returns what msg holds, in msg's own memory, and overwrites TagSize bytes of capacity behind it.
	OpenInPlace(msg []byte) ([]byte, error)
	// ID names the cipher.
	ID() CipherID
}

// NewCipher makes a Cipher that seals with sealKey (the server's EncryptionKey) and opens with openKey (its DecryptionKey).
func NewCipher(id CipherID, sealKey, openKey []byte, session uint64) (Cipher, error) {
	s, err := aead(id, sealKey)
	if err != nil {
		return nil, err
	}
	o, err := aead(id, openKey)
	if err != nil {
		return nil, err
	}
	return &transform{id: id, session: session, seal: s, open: o}, nil
}

func aead(id CipherID, key []byte) (cipher.AEAD, error) {
	if id.KeySize() == 0 || len(key) != id.KeySize() {
		return nil, fmt.Errorf("seal: %v with a key of %d bytes", id, len(key))
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if id == AES128CCM || id == AES256CCM {
		return ccm.NewCCM(b, 16, 11)
	}
	return cipher.NewGCM(b)
}

type transform struct {
	id         CipherID
	session    uint64
	seal, open cipher.AEAD
	sent       atomic.Uint64 // the nonce: a counter, so that it never repeats under this key
}

func (t *transform) ID() CipherID { return t.id }

// Seal: [MS-SMB2] 3.1.4.3. The additional data is the header from Nonce on.
func (t *transform) Seal(dst, plain []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, TransformSize+len(plain)+TagSize)
	dst = append(dst[:start+TransformSize], plain...)
	t.SealInPlace(dst[start:])
	return dst
}

func (t *transform) SealInPlace(msg []byte) {
	h, plain := msg[:TransformSize], msg[TransformSize:]
	clear(h)
	copy(h, "\xfdSMB")
	n := t.sent.Add(1)
	if n == math.MaxUint64 {
		panic("seal: the nonces of a session are used up")
	}
	binary.LittleEndian.PutUint64(h[offTransformNonce:], n)
	binary.LittleEndian.PutUint32(h[offTransformOriginal:], uint32(len(plain)))
	binary.LittleEndian.PutUint16(h[offTransformFlags:], transformEncrypted)
	binary.LittleEndian.PutUint64(h[offTransformSession:], t.session)
	nonce := h[offTransformNonce : offTransformNonce+t.seal.NonceSize()]
	sealed := t.seal.Seal(plain[:0], nonce, plain, h[offTransformNonce:])
	copy(h[offTransformSignature:offTransformNonce], sealed[len(plain):])
}

var errOpen = errors.New("seal: an encrypted message that does not authenticate")

// Open: [MS-SMB2] 3.3.5.2.1.1.
func (t *transform) Open(dst, msg []byte) ([]byte, error) {
	c := append(make([]byte, 0, len(msg)+TagSize), msg...)
	out, err := t.OpenInPlace(c)
	if err != nil {
		return nil, err
	}
	return append(dst, out...), nil
}

func (t *transform) OpenInPlace(msg []byte) ([]byte, error) {
	if !IsTransform(msg) || len(msg) <= TransformSize {
		return nil, fmt.Errorf("seal: no TRANSFORM_HEADER in %d bytes", len(msg))
	}
	h, body := msg[:TransformSize], msg[TransformSize:]
	if n := binary.LittleEndian.Uint32(h[offTransformOriginal:]); uint64(n) != uint64(len(body)) {
		return nil, fmt.Errorf("seal: OriginalMessageSize %d over %d bytes", n, len(body))
	}
	if f := binary.LittleEndian.Uint16(h[offTransformFlags:]); f != transformEncrypted {
		return nil, fmt.Errorf("seal: TRANSFORM_HEADER flags %#x", f)
	}
	if id := binary.LittleEndian.Uint64(h[offTransformSession:]); id != t.session {
		return nil, fmt.Errorf("seal: session %#x, want %#x", id, t.session)
	}
	// cipher.AEAD wants the tag behind the ciphertext.
	body = append(body, h[offTransformSignature:offTransformNonce]...)
	nonce := h[offTransformNonce : offTransformNonce+t.open.NonceSize()]
	out, err := t.open.Open(body[:0], nonce, body, h[offTransformNonce:])
	if err != nil {
		return nil, errOpen
	}
	return out, nil
}
