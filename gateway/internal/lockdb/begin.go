package lockdb

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
)

// ErrDamaged says that the database is not what was acknowledged. Serving from it would break promises, so the gateway does not start
// until the administrator restores the directory or salvages what is left.
var ErrDamaged = errors.New("the lock database is damaged")

// Config is what a vault is opened with.
type Config struct {
	Dir     string // where seq.hw stands; empty: without one, for a Memory
	Store   Store
	Log     *slog.Logger          // nil: silent
	Metrics prometheus.Registerer // nil: none
	// Lag is how long after it was told a record is synced at the latest; 0: it is synced before.
	Lag time.Duration
	// Boot names the host's boot: what was written outlives us as long as it is the same.
	Boot string
}

// Begin opens a vault and begins a run: it checks and returns what the last one left, and has cleared the clean-stop mark, raised the epoch and the NSM state
// durably before it returns. A database that never was used counts as cleanly stopped. The vault owns the store from here on, and closes
// it also where Begin fails.
func Begin(cfg Config) (Vault, Start, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	j, start, err := prepare(cfg)
	if err != nil {
		cfg.Store.Close()
		return nil, Start{}, err
	}
	go j.run()
	return j, start, nil
}

func prepare(cfg Config) (j *journal, start Start, err error) {
	var hw *highWater
	var high marks
	var hwFound bool
	if cfg.Dir != "" {
		hw, high, hwFound, err = openHighWater(cfg.Dir)
		if err != nil {
			hw.close()
			return nil, Start{}, err
		}
		defer func() {
			if err != nil {
				hw.close()
			}
		}()
	}

	r := reading{log: cfg.Log, ledger: newLedger()}
	if err := cfg.Store.Each(r.take); err != nil {
		return nil, Start{}, fmt.Errorf("lockdb: reading: %w", err)
	}
	if err := r.check(high.due(r.meta.GetBoot(), cfg.Boot)); err != nil {
		return nil, Start{}, fmt.Errorf("lockdb: %w; %s", err, advice)
	}
	if cfg.Dir != "" && !hwFound && r.meta.Seq > 0 {
		cfg.Log.Warn("the high-water file was missing; a database that lost its end would not have been noticed", "dir", cfg.Dir)
	}

	m := &r.meta
	start = r.start
	start.Clean = m.Clean || m.Seq == 0
	start.Torn = !start.Clean && m.Soon && string(m.Boot) != cfg.Boot
	m.Seq, m.Epoch, m.Nsm, m.Clean = max(m.Seq, high.synced, high.written)+1, m.Epoch+1, nextNSM(m.Nsm), false
	m.Boot, m.Soon = []byte(cfg.Boot), cfg.Lag > 0
	start.Epoch, start.NSM = m.Epoch, m.Nsm

	j = &journal{store: cfg.Store, log: cfg.Log, hw: hw, metrics: newMetrics(cfg.Metrics), ledger: r.ledger, meta: m,
		lag: cfg.Lag, seq: m.Seq, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1), stop: make(chan struct{}), progress: make(chan struct{}), ended: make(chan struct{})}
	if err := j.commit(nil, m.Seq, true); err != nil {
		return nil, Start{}, err
	}
	j.telling = m.Seq
	return j, start, nil
}

// nextNSM is the next odd state: this host is up. It starts again at 1 rather than to go below zero. X/Open XNFS chapter 11.
func nextNSM(n int32) int32 {
	if n < 0 || n > math.MaxInt32-2 {
		return 1
	}
	return n + 1 + n&1
}

// reading is the state of going through the store once.
type reading struct {
	log     *slog.Logger
	ledger  *ledger
	meta    MetaRecord
	hasMeta bool
	damaged bool
	start   Start
}

// advice follows every complaint of damage.
const advice = "restore it, or let `dittofs db recover` drop what is lost"

func (r *reading) take(key, value []byte) error {
	if err := r.record(key, value); err != nil {
		return fmt.Errorf("record %x: %w: %w; %s", key, ErrDamaged, err, advice)
	}
	return nil
}

func (r *reading) record(key, value []byte) error {
	if len(key) == 0 {
		return errors.New("an empty key")
	}
	var m proto.Message
	var keep func() Op
	switch kind(key[0]) {
	case kindMeta:
		if string(key) != string(metaKey) {
			return errors.New("a second meta record")
		}
		if err := unseal(key, value, &r.meta); err != nil {
			return err
		}
		r.hasMeta = true
		return nil
	case kindRange:
		rec := &RangeRecord{}
		m, keep = rec, func() Op {
			r.start.Ranges = append(r.start.Ranges, rangeOf(rec))
			return Op{Range: &r.start.Ranges[len(r.start.Ranges)-1]}
		}
	case kindOpen:
		rec := &OpenRecord{}
		m, keep = rec, func() Op {
			r.start.Opens = append(r.start.Opens, openOf(rec))
			return Op{Open: &r.start.Opens[len(r.start.Opens)-1]}
		}
	case kindHost:
		rec := &HostRecord{}
		m, keep = rec, func() Op {
			r.start.Hosts = append(r.start.Hosts, hostOf(rec))
			return Op{Host: &r.start.Hosts[len(r.start.Hosts)-1]}
		}
	default:
		return fmt.Errorf("a key of unknown kind %q", key[0])
	}
	if err := unseal(key, value, m); err != nil {
		return err
	}
	op := keep()
	op.Delete = true
	if string(op.kv().Key) != string(key) {
		return errors.New("the record is another one's")
	}
	r.ledger.apply(KV{Key: key, Value: value})
	return nil
}

// check compares what is there with what must be.
func (r *reading) check(high uint64) error {
	records := uint64(len(r.ledger.digests))
	switch {
	case !r.hasMeta && (records > 0 || r.damaged):
		return fmt.Errorf("%w: %d records and no meta record", ErrDamaged, records)
	case r.meta.Seq < high:
		return fmt.Errorf("%w: it ends at commit %d, but commit %d was acknowledged", ErrDamaged, r.meta.Seq, high)
	case records != r.meta.Records:
		return fmt.Errorf("%w: it holds %d records and should hold %d", ErrDamaged, records, r.meta.Records)
	case r.ledger.sum != r.meta.Digest:
		return fmt.Errorf("%w: its records are not those of commit %d", ErrDamaged, r.meta.Seq)
	}
	return nil
}
