package lockdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of one commit, well below what Badger takes in one transaction with our settings.
const (
	maxBatch      = 1024
	maxBatchBytes = 256 << 10
)

// ErrClosed answers whoever waits for what was appended after Close.
var ErrClosed = errors.New("lockdb: the vault is closed")

// journal is the Vault: appends wait in a queue, and whoever waits for one first commits all that is there as one batch, and so on behalf of who waits with it.
// A goroutine commits what nobody waits for, and syncs what was committed, where that may come after.
type journal struct {
	store   Store
	log     *slog.Logger
	hw      *highWater
	metrics *metrics
	lag     time.Duration
	wake    chan struct{} // filled by an append
	stop    chan struct{} // closed at Close, or after an error
	ended   chan struct{} // closed when the vault is

	turn   chan struct{} // filled by who commits; guards the next two
	ledger *ledger
	meta   *MetaRecord

	written atomic.Uint64 // the last commit's
	syncing sync.Mutex    // one sync at a time, and its mark; guards synced
	synced  uint64

	mu       sync.Mutex // guards the fields below
	queue    []appended
	seq      uint64        // of the last append
	telling  uint64        // everything up to here may be told
	progress chan struct{} // closed, and made anew, when telling or err changes
	closing  bool
	err      error // the first error; it stays
}

type appended struct {
	seq  uint64
	kvs  []KV
	firm bool // synced before it is told
}

// Append never waits.
func (j *journal) Append(ops ...Op) uint64 {
	kvs, firm := make([]KV, len(ops)), j.lag == 0
	for i, op := range ops {
		kvs[i] = op.kv()
		// Without its client on record a lock that the host's crash takes could never be asked for again.
		firm = firm || op.Host != nil && !op.Delete
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	if j.err != nil || j.closing {
		return j.seq
	}
	j.queue = append(j.queue, appended{j.seq, kvs, firm})
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return j.seq
}

// Wait returns nil once seq may be told, and the error that will for ever keep it from being so.
func (j *journal) Wait(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		telling, err, progress := j.telling, j.err, j.progress
		j.mu.Unlock()
		switch {
		case seq <= telling:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		select {
		case j.turn <- struct{}{}:
			j.write()
			<-j.turn
		case <-progress:
		case <-ctx.Done():
		}
	}
}

// Close commits what waits and the clean-stop mark. After an error there is no mark.
func (j *journal) Close() error {
	j.mu.Lock()
	if !j.closing && j.err == nil {
		close(j.stop)
	}
	j.closing = true
	j.mu.Unlock()
	<-j.ended
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.err, ErrClosed) {
		return nil
	}
	return j.err
}

// run ends after Close, or after an error, and the vault with it.
func (j *journal) run() {
	defer close(j.ended)
	for j.due() {
		j.turn <- struct{}{}
		j.write()
		<-j.turn
		if j.lag == 0 {
			continue // it was synced before it was told
		}
		if err := j.sync(false, true); err != nil {
			j.settle(0, err)
		}
	}
	j.turn <- struct{}{} // and it stays so
	j.write()
	j.mu.Lock()
	err := j.err
	j.mu.Unlock()
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
	}
	j.settle(0, err)
}

// due waits for an append, and then as long as its sync may come after. false: the vault ends.
func (j *journal) due() bool {
	select {
	case <-j.wake:
	case <-j.stop:
		return false
	}
	if j.lag == 0 {
		return true
	}
	rest := time.NewTimer(j.lag)
	defer rest.Stop()
	select {
	case <-rest.C:
		return true
	case <-j.stop: // the clean-stop mark is synced, with all that came before it
		return false
	}
}

// sync makes what was committed durable, and marks it. again: even where nothing was committed since the last time.
func (j *journal) sync(again, mark bool) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	began, seq := time.Now(), j.written.Load()
	if seq == j.synced && !again {
		return nil
	}
	if err := j.store.Sync(); err != nil {
		return fmt.Errorf("lockdb: sync of commit %d: %w", seq, err)
	}
	if err := j.hw.sync(seq, mark); err != nil {
		return err
	}
	j.synced = seq
	j.metrics.syncs.Observe(time.Since(began).Seconds())
	return nil
}

// write commits all that is in the queue. It is the caller's turn.
func (j *journal) write() {
	j.mu.Lock()
	queue := j.queue
	j.queue = nil
	j.mu.Unlock()
	if len(queue) == 0 {
		return
	}
	if err := j.drain(queue); err != nil {
		j.settle(0, err)
	}
}

// drain commits what was taken, in batches. An append that is larger than a batch may be told with its last one.
func (j *journal) drain(queue []appended) error {
	b := batch{at: map[string]int{}}
	done, firm := j.meta.Seq, false // the last append that is wholly in b or before
	flush := func() error {
		if err := j.commit(b.kvs, done, firm); err != nil {
			return err
		}
		b, firm = batch{at: map[string]int{}}, false
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
			firm = firm || a.firm
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

// full tells whether kv must wait for the next batch; two places are for the meta record and Log's number.
func (b *batch) full(kv KV) bool {
	return len(b.kvs) > 0 && (len(b.kvs) >= maxBatch-2 || b.size+len(kv.Key)+len(kv.Value) > maxBatchBytes)
}

func (b *batch) add(kv KV) {
	if i, again := b.at[string(kv.Key)]; again {
		b.size += len(kv.Value) - len(b.kvs[i].Value)
		b.kvs[i] = kv
		return
	}
	b.size += len(kv.Key) + len(kv.Value)
	b.at[string(kv.Key)] = len(b.kvs)
	b.kvs = append(b.kvs, kv)
}

// commit writes a batch, with the meta record that belongs to it; firm: and syncs it.
func (j *journal) commit(kvs []KV, seq uint64, firm bool) error {
	began := time.Now()
	for _, kv := range kvs {
		j.ledger.apply(kv)
	}
	j.meta.Seq, j.meta.Records, j.meta.Digest = seq, uint64(len(j.ledger.digests)), j.ledger.sum
	all := append(kvs[:len(kvs):len(kvs)], KV{Key: metaKey, Value: seal(kindMeta, metaKey, j.meta)})
	if err := j.store.Commit(all); err != nil {
		return fmt.Errorf("lockdb: commit %d: %w", seq, err)
	}
	j.written.Store(seq)
	if j.lag > 0 {
		if err := j.hw.write(seq); err != nil {
			return err
		}
	}
	if firm {
		if err := j.sync(true, len(kvs) == 0 || j.lag > 0); err != nil {
			return err
		}
	}
	j.metrics.commits.Observe(time.Since(began).Seconds())
	j.metrics.batch.Observe(float64(len(kvs)))
	j.metrics.records.Set(float64(len(j.ledger.digests)))
	return nil
}

// settle wakes whoever waits. After an error nothing more may be told.
func (j *journal) settle(telling uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return
	}
	j.telling = max(j.telling, telling)
	if err != nil {
		j.err, j.queue = err, nil
		if !j.closing {
			close(j.stop)
		}
		if !errors.Is(err, ErrClosed) {
			j.metrics.failed.Set(1)
			j.log.Error("the lock database fails; nothing more is granted", "err", err)
		}
	}
	close(j.progress)
	j.progress = make(chan struct{})
}
