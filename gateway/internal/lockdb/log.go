package lockdb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Log is a Store before a Store: a batch is appended to a file, by one system call, and handed on when it is synced, many as one. So a lock that comes and goes
// between two syncs costs the store behind next to nothing.
//
// The file has two halves, used in turn: what stands in one is handed on while the other is written. Each batch has a number, and the store behind keeps the
// number of the last that it has. What the file holds beyond, without a gap, is what a kill left; the rest of it is old.
type Log struct {
	store Store
	file  *os.File
	found []logged // at the start, until they are compared with the store's number

	handing sync.Mutex // held by who hands on; taken before mu; guards failed
	failed  error

	mu     sync.Mutex // guards the fields below
	number uint64     // the last batch's
	half   int64      // where the next goes
	at     int64      // within it; 0: what waits stands elsewhere
	wait   []*group   // for being handed on
	buf    []byte
}

// logged is a batch in the file.
type logged struct {
	number uint64
	kvs    []KV
}

// group is batches that are handed on as one.
type group struct {
	batch
	last uint64
}

const (
	logHalf   = 1 << 20
	logHead   = 4 + 4 + 8 // length of what follows the checksum, CRC-32C of it; it begins with the number
	logDelete = 1<<32 - 1 // as a value's length
)

// logKey is where the store behind keeps the number, before all other keys.
var logKey = []byte{byte(kindLog)}

// OpenLog puts a log, the file at path, before store.
func OpenLog(path string, store Store) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, 2*logHalf))
	if err != nil {
		f.Close()
		return nil, err
	}
	// A full disk refuses no lock.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 2*logHalf); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l := &Log{store: store, file: f}
	for half := range slices.Chunk(b, logHalf) {
		l.found = append(l.found, readLog(half)...)
	}
	slices.SortStableFunc(l.found, func(a, b logged) int { return cmp.Compare(a.number, b.number) })
	return l, nil
}

// readLog takes batches off b as long as each is whole and follows the one before.
func readLog(b []byte) (found []logged) {
	for len(b) >= logHead {
		n := binary.LittleEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-8) || binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:8+n], castagnoli) {
			return found
		}
		e, ok := readBatch(b[8 : 8+n])
		if !ok || len(found) > 0 && e.number != found[len(found)-1].number+1 {
			return found
		}
		found, b = append(found, e), b[8+n:]
	}
	return found
}

func readBatch(b []byte) (e logged, ok bool) {
	if len(b) < 8 {
		return e, false
	}
	e.number, b = binary.LittleEndian.Uint64(b), b[8:]
	for len(b) >= 8 {
		k, v := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
		kv := KV{}
		if b = b[8:]; k > uint64(len(b)) {
			return e, false
		}
		kv.Key, b = b[:k:k], b[k:]
		if v != logDelete {
			if v > uint64(len(b)) {
				return e, false
			}
			kv.Value, b = b[:v:v], b[v:]
		}
		e.kvs = append(e.kvs, kv)
	}
	return e, len(b) == 0
}

func appendBatch(b []byte, e logged) []byte {
	le := binary.LittleEndian
	from := len(b)
	b = le.AppendUint64(append(b, make([]byte, 8)...), e.number)
	for _, kv := range e.kvs {
		n := uint32(logDelete)
		if kv.Value != nil {
			n = uint32(len(kv.Value))
		}
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(kv.Key))), n)
		b = append(append(b, kv.Key...), kv.Value...)
	}
	le.PutUint32(b[from:], uint32(len(b)-from-8))
	le.PutUint32(b[from+4:], crc32.Checksum(b[from+8:], castagnoli))
	return b
}

// Each goes through the store behind, with what it does not have yet. It must be called before anything is committed.
func (l *Log) Each(fn func(key, value []byte) error) error {
	var news []KV
	first := true
	tell := func(before []byte) error {
		for ; len(news) > 0 && (before == nil || string(news[0].Key) < string(before)); news = news[1:] {
			if news[0].Value == nil {
				continue
			}
			if err := fn(news[0].Key, news[0].Value); err != nil {
				return err
			}
		}
		return nil
	}
	err := l.store.Each(func(key, value []byte) error {
		if first {
			first = false
			if string(key) == string(logKey) {
				if len(value) != 8 {
					return fmt.Errorf("the log's number: %w", ErrDamaged)
				}
				news = l.compare(binary.LittleEndian.Uint64(value))
				return nil
			}
			news = l.compare(0)
		}
		if err := tell(key); err != nil {
			return err
		}
		if len(news) > 0 && string(news[0].Key) == string(key) {
			return nil // told with the next
		}
		return fn(key, value)
	})
	if err != nil {
		return err
	}
	if first {
		news = l.compare(0)
	}
	return tell(nil)
}

// compare finds what the store behind, which has the batch of that number, does not have. It returns the last of each key, in their order.
func (l *Log) compare(number uint64) (news []KV) {
	last := number
	for _, e := range l.found {
		if e.number == last+1 {
			last = e.number
			l.take(e)
		}
		number = max(number, e.number)
	}
	if number > last { // beyond a gap, and none is used twice
		l.take(logged{number: number})
	}
	l.found, l.number = nil, max(l.number, number)
	all := batch{at: map[string]int{}}
	for _, g := range l.wait {
		for _, kv := range g.kvs {
			all.add(kv)
		}
	}
	slices.SortFunc(all.kvs, func(a, b KV) int { return bytes.Compare(a.Key, b.Key) })
	return all.kvs
}

// take adds a batch to what waits.
func (l *Log) take(e logged) {
	size := 0
	for _, kv := range e.kvs {
		size += len(kv.Key) + len(kv.Value)
	}
	var g *group
	if n := len(l.wait); n > 0 {
		g = l.wait[n-1]
	}
	if g == nil || len(g.kvs)+len(e.kvs) > maxBatch-1 || g.size+size > maxBatchBytes {
		g = &group{batch: batch{at: map[string]int{}}}
		l.wait = append(l.wait, g)
	}
	for _, kv := range e.kvs {
		g.add(kv)
	}
	g.last = e.number
}

// Commit appends to the file. What does not stand in this half, or fills it, is handed on first.
func (l *Log) Commit(kvs []KV) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := logged{l.number + 1, kvs}
	l.buf = appendBatch(l.buf[:0], e)
	if l.at == 0 && len(l.wait) > 0 || l.at+int64(len(l.buf)) > logHalf {
		l.mu.Unlock()
		err := l.handOn()
		l.mu.Lock()
		if err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(l.buf, l.half*logHalf+l.at); err != nil {
		return err
	}
	l.at += int64(len(l.buf))
	l.number = e.number
	l.take(e)
	return nil
}

// handOn leaves the half that was written to the store behind.
func (l *Log) handOn() error {
	l.handing.Lock()
	defer l.handing.Unlock()
	l.mu.Lock()
	groups := l.wait
	if l.wait = nil; l.at > 0 {
		l.half, l.at = 1-l.half, 0
	}
	l.mu.Unlock()
	for _, g := range groups {
		if l.failed == nil {
			l.failed = l.store.Commit(append(g.kvs, KV{logKey, binary.LittleEndian.AppendUint64(nil, g.last)}))
		}
	}
	return l.failed
}

// Sync hands on what was committed, and has it synced there.
func (l *Log) Sync() error {
	if err := l.handOn(); err != nil {
		return err
	}
	return l.store.Sync()
}

// Close hands on what was committed. What only was read stays as it is.
func (l *Log) Close() error {
	var err error
	if l.at > 0 {
		err = l.handOn()
	}
	return errors.Join(err, l.store.Close(), l.file.Close())
}
