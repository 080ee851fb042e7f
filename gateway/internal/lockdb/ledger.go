package lockdb

import (
	"crypto/sha256"
	"encoding/binary"
)

// ledger knows of every record its digest, so that meta can say with each commit how many records there are and what they add up to.
// Neither engine's own checksums tell that a record is missing, or that an old one came back.
type ledger struct {
	digests map[uint64]uint64 // by digest of the key: 16 bytes a record
	sum     uint64
}

func newLedger() *ledger { return &ledger{digests: map[uint64]uint64{}} }

// apply takes in a put or a delete.
func (l *ledger) apply(kv KV) {
	k := digest(kv.Key, nil)
	l.sum -= l.digests[k]
	if kv.Value == nil {
		delete(l.digests, k)
		return
	}
	d := digest(kv.Key, kv.Value)
	l.digests[k] = d
	l.sum += d
}

func digest(key, value []byte) uint64 {
	h := sha256.New()
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(key)))
	h.Write(n[:])
	h.Write(key)
	h.Write(value)
	var sum [sha256.Size]byte
	return binary.LittleEndian.Uint64(h.Sum(sum[:0]))
}
