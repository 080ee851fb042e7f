package lockdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Bounds of one commit, well below what Badger takes in one transaction with our settings.
const (
	maxBatch      = 1024
	maxBatchBytes = 256 << 10
)

// ErrClosed answers whoever waits for what was appended after Close.
var ErrClosed = errors.New("lockdb: the vault is closed")

// journal is the Vault: appends wait in a queue, and one goroutine takes whatever waits, commits it as one batch, and takes again.
type journal struct {
	store   Store
	log     *slog.Logger
	hw      *highWater
	metrics *metrics
	ledger  *ledger     // the committer's
	meta    *MetaRecord // the committer's
	wake    chan struct{}
	ended   chan struct{} // closed when the committer has ended

	mu       sync.Mutex // guards the fields below
	queue    []appended
	seq      uint64        // of the last append
	durable  uint64        // everything up to here is on disk
	progress chan struct{} // closed, and made anew, when durable or err changes
	closing  bool
	err      error // the first error; it stays
}

type appended struct {
	seq uint64
	kvs []KV
}

// Append never waits.
func (j *journal) Append(ops ...Op) uint64 {
	kvs := make([]KV, len(ops))
	for i, op := range ops {
		kvs[i] = op.kv()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	if j.err != nil || j.closing {
		return j.seq
	}
	j.queue = append(j.queue, appended{j.seq, kvs})
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return j.seq
}

// Wait returns nil once seq is durable, and the error that will for ever keep it from being so.
func (j *journal) Wait(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		durable, err, progress := j.durable, j.err, j.progress
		j.mu.Unlock()
		switch {
		case seq <= durable:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close commits what waits and the clean-stop mark. After an error there is no mark.
func (j *journal) Close() error {
	j.mu.Lock()
	first := !j.closing
	j.closing = true
	j.mu.Unlock()
	if first {
		close(j.wake)
	}
	<-j.ended
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.err, ErrClosed) {
		return nil
	}
	return j.err
}

// run is the committer. It ends after Close, or after an error.
func (j *journal) run() {
	defer close(j.ended)
	err := j.serve()
	if err == nil {
		j.meta.Clean = true
		err = j.commit(nil, j.meta.Seq, true)
	}
	if cerr := j.store.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("lockdb: %w", cerr)
	}
	if cerr := j.hw.close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = ErrClosed
	} else {
		j.metrics.failed.Set(1)
		j.log.Error("the lock database fails; nothing more is granted", "err", err)
	}
	j.settle(0, err)
}

func (j *journal) serve() error {
	for open := true; open; {
		_, open = <-j.wake
		for {
			j.mu.Lock()
			queue := j.queue
			j.queue = nil
			j.mu.Unlock()
			if len(queue) == 0 {
				break
			}
			if err := j.drain(queue); err != nil {
				return err
			}
		}
	}
	return nil
}

// drain commits what was taken, in batches. An append that is larger than a batch becomes durable with its last one.
func (j *journal) drain(queue []appended) error {
	b := batch{at: map[string]int{}}
	done := j.meta.Seq // the last append that is wholly in b or before
	flush := func() error {
		if err := j.commit(b.kvs, done, false); err != nil {
			return err
		}
		b = batch{at: map[string]int{}}
		j.settle(done, nil)
		return nil
	}
	for _, a := range queue {
		for _, kv := range a.kvs {
			if b.full(kv) {
				if err := flush(); err != nil {
					return err
				}
			}
			b.add(kv)
		}
		done = a.seq
	}
	return flush()
}

// batch collects entries; of two for one key the later one counts.
type batch struct {
	kvs  []KV
	at   map[string]int
	size int
}

// full tells whether kv must wait for the next batch; one place is the meta record's.
func (b *batch) full(kv KV) bool {
	return len(b.kvs) > 0 && (len(b.kvs) >= maxBatch-1 || b.size+len(kv.Key)+len(kv.Value) > maxBatchBytes)
}

func (b *batch) add(kv KV) {
	b.size += len(kv.Key) + len(kv.Value)
	if i, again := b.at[string(kv.Key)]; again {
		b.kvs[i] = kv
		return
	}
	b.at[string(kv.Key)] = len(b.kvs)
	b.kvs = append(b.kvs, kv)
}

// commit makes a batch durable, with the meta record that belongs to it.
func (j *journal) commit(kvs []KV, seq uint64, sync bool) error {
	began := time.Now()
	for _, kv := range kvs {
		j.ledger.apply(kv)
	}
	j.meta.Seq, j.meta.Records, j.meta.Digest = seq, uint64(len(j.ledger.digests)), j.ledger.sum
	all := append(kvs[:len(kvs):len(kvs)], KV{Key: metaKey, Value: seal(kindMeta, metaKey, j.meta)})
	if err := j.store.Commit(all); err != nil {
		return fmt.Errorf("lockdb: commit %d: %w", seq, err)
	}
	if err := j.hw.write(seq, sync); err != nil {
		return err
	}
	j.metrics.commits.Observe(time.Since(began).Seconds())
	j.metrics.batch.Observe(float64(len(kvs)))
	j.metrics.records.Set(float64(len(j.ledger.digests)))
	return nil
}

// settle wakes whoever waits.
func (j *journal) settle(durable uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.durable = max(j.durable, durable)
	if err != nil {
		j.err, j.queue = err, nil
	}
	close(j.progress)
	j.progress = make(chan struct{})
}
