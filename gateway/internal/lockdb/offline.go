package lockdb

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Contents is a whole database, as it is read, exported, imported and written while no gateway runs.
type Contents struct {
	Seq, Epoch uint64
	Clean      bool
	NSM        int32
	Ranges     []Range
	Opens      []Open
	Hosts      []Host
}

// Read checks the database in cfg.Store against its high-water file and returns what it holds. Nothing is written. The store is closed.
func Read(cfg Config) (Contents, error) {
	c, _, err := read(cfg, false)
	return c, err
}

// Salvage returns what can be read of a damaged database, and what is wrong with it. cfg.Store is nil where the engine could not open it. The epoch, the NSM state
// and the commit number are no lower than any that was used. The store is closed.
func Salvage(cfg Config) (Contents, []error, error) { return read(cfg, true) }

func read(cfg Config, salvage bool) (c Contents, damage []error, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	fault := func(err error) error {
		if salvage {
			damage = append(damage, err)
			return nil
		}
		return fmt.Errorf("lockdb: %w", err)
	}
	if cfg.Store != nil {
		defer func() {
			if cerr := cfg.Store.Close(); cerr != nil && err == nil {
				err = fault(cerr)
			}
		}()
	}
	high, err := peekHighWater(cfg.Dir)
	if err != nil && (!errors.Is(err, ErrDamaged) || fault(err) != nil) {
		return c, damage, err
	}
	r := reading{log: cfg.Log, ledger: newLedger()}
	if cfg.Store != nil {
		err = cfg.Store.Each(func(key, value []byte) error {
			err := r.record(key, value)
			if err == nil {
				return nil
			}
			r.damaged = true
			return fault(fmt.Errorf("record %x: %w: %w", key, ErrDamaged, err))
		})
		if err != nil && fault(err) != nil {
			return c, damage, err
		}
	}
	if err := r.check(high.due(r.meta.GetBoot(), cfg.Boot)); err != nil {
		if err := fault(err); err != nil {
			return c, damage, err
		}
	}
	m := &r.meta
	if high := max(high.synced, high.written); salvage && (!r.hasMeta || m.Seq < high) {
		// Each run commits at least once, and raises the epoch by one and the state by two: twice the commits is above both.
		m.Seq = max(m.Seq, high)
		m.Epoch, m.Nsm = max(m.Epoch, high), max(m.Nsm, int32(min(2*high+1, math.MaxInt32)))
	}
	return Contents{Seq: m.Seq, Epoch: m.Epoch, Clean: m.Clean && len(damage) == 0, NSM: m.Nsm, Ranges: r.start.Ranges, Opens: r.start.Opens, Hosts: r.start.Hosts}, damage, nil
}

// Write fills the empty store with c and closes it. Until the last commit the records stand there without a meta record, which is damage: half a database is not
// taken for a whole one.
func Write(cfg Config, c Contents) (err error) {
	defer func() {
		if cerr := cfg.Store.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("lockdb: %w", cerr)
		}
	}()
	if err := cfg.Store.Each(func([]byte, []byte) error { return errors.New("the database is not empty") }); err != nil {
		return fmt.Errorf("lockdb: %w", err)
	}
	high, err := peekHighWater(cfg.Dir)
	if errors.Is(err, ErrDamaged) {
		if err = os.Remove(filepath.Join(cfg.Dir, HighWaterFile)); err != nil {
			return fmt.Errorf("lockdb: %w", err)
		}
	} else if err != nil {
		return err
	}
	l := newLedger()
	b := batch{at: map[string]int{}}
	for _, op := range c.ops() {
		kv := op.kv()
		if b.full(kv) {
			if err := cfg.Store.Commit(b.kvs); err != nil {
				return fmt.Errorf("lockdb: %w", err)
			}
			b = batch{at: map[string]int{}}
		}
		b.add(kv)
		l.apply(kv)
	}
	// What did not end with a clean stop may have lost its end before it came here.
	m := &MetaRecord{Seq: max(c.Seq, high.synced, high.written) + 1, Epoch: c.Epoch, Clean: c.Clean, Nsm: c.NSM, Records: uint64(len(l.digests)), Digest: l.sum, Soon: !c.Clean}
	b.kvs = append(b.kvs, KV{Key: metaKey, Value: seal(kindMeta, metaKey, m)})
	if err := errors.Join(cfg.Store.Commit(b.kvs), cfg.Store.Sync()); err != nil {
		return fmt.Errorf("lockdb: %w", err)
	}
	if cfg.Dir == "" {
		return nil
	}
	hw, _, _, err := openHighWater(cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(hw.sync(m.Seq, true), hw.close())
}

func (c *Contents) ops() (ops []Op) {
	for i := range c.Ranges {
		ops = append(ops, Op{Range: &c.Ranges[i]})
	}
	for i := range c.Opens {
		ops = append(ops, Op{Open: &c.Opens[i]})
	}
	for i := range c.Hosts {
		ops = append(ops, Op{Host: &c.Hosts[i]})
	}
	return ops
}

// The export: a line of JSON for the database, one for each record, and one at the end that tells a file that was cut off.
type exportHead struct {
	Schema  int       `json:"dittofs_locks"`
	Written time.Time `json:"written"`
	Seq     uint64    `json:"seq"`
	Epoch   uint64    `json:"epoch"`
	Clean   bool      `json:"clean"`
	NSM     int32     `json:"nsm"`
}

type exportLine struct {
	Range json.RawMessage `json:"range,omitempty"`
	Open  json.RawMessage `json:"open,omitempty"`
	Host  json.RawMessage `json:"host,omitempty"`
	End   *exportEnd      `json:"end,omitempty"`
}

type exportEnd struct {
	Records uint64 `json:"records"`
	Digest  uint64 `json:"digest,string"`
}

// Export writes c as lines of JSON. Names and paths may be any bytes and are in base64.
func (c *Contents) Export(w io.Writer) error {
	out := bufio.NewWriter(w)
	e := json.NewEncoder(out)
	e.Encode(exportHead{schema, time.Now().UTC(), c.Seq, c.Epoch, c.Clean, c.NSM})
	l := newLedger()
	for _, op := range c.ops() {
		l.apply(op.kv())
		var line exportLine
		var err error
		switch {
		case op.Range != nil:
			line.Range, err = protojson.Marshal(rangeRecord(op.Range))
		case op.Open != nil:
			line.Open, err = protojson.Marshal(openRecord(op.Open))
		case op.Host != nil:
			line.Host, err = protojson.Marshal(hostRecord(op.Host))
		}
		if err != nil {
			return fmt.Errorf("lockdb: %w", err)
		}
		e.Encode(line)
	}
	e.Encode(exportLine{End: &exportEnd{uint64(len(l.digests)), l.sum}})
	return out.Flush()
}

// maxLine is more than the largest record in base64.
const maxLine = 1 << 20

// ReadExport reads what Export wrote.
func ReadExport(r io.Reader) (c Contents, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	n, l, ended := 0, newLedger(), false
	defer func() {
		if err != nil {
			c, err = Contents{}, fmt.Errorf("line %d: %w", n, err)
		}
	}()
	for in.Scan() {
		n++
		b := in.Bytes()
		if n == 1 {
			var h exportHead
			if err := json.Unmarshal(b, &h); err != nil {
				return c, err
			}
			if h.Schema != schema {
				return c, fmt.Errorf("schema version %d, and this program knows %d", h.Schema, schema)
			}
			c.Seq, c.Epoch, c.Clean, c.NSM = h.Seq, h.Epoch, h.Clean, h.NSM
			continue
		}
		var line exportLine
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&line); err != nil {
			return c, err
		}
		if ended {
			return c, errors.New("something after the end")
		}
		op, err := line.take(&c)
		if err != nil {
			return c, err
		}
		if line.End == nil {
			l.apply(op.kv())
			continue
		}
		if ended = true; line.End.Records != uint64(len(l.digests)) || line.End.Digest != l.sum {
			return c, errors.New("the records are not those that were exported")
		}
	}
	if err := in.Err(); err != nil {
		return c, err
	}
	if !ended {
		return c, errors.New("the file was cut off: its last line is missing")
	}
	return c, nil
}

func (l *exportLine) take(c *Contents) (op Op, err error) {
	parse := func(b []byte, m proto.Message) { err = protojson.Unmarshal(b, m) }
	switch {
	case l.End != nil:
	case l.Range != nil:
		rec := &RangeRecord{}
		parse(l.Range, rec)
		c.Ranges = append(c.Ranges, rangeOf(rec))
		op.Range = &c.Ranges[len(c.Ranges)-1]
		err = errors.Join(err, tooLarge(len(rec.GetOwner().GetName())+len(rec.GetOwner().GetOh())))
	case l.Open != nil:
		rec := &OpenRecord{}
		parse(l.Open, rec)
		c.Opens = append(c.Opens, openOf(rec))
		op.Open = &c.Opens[len(c.Opens)-1]
		q := rec.GetRequest()
		err = errors.Join(err, tooLarge(len(q.GetOwner().GetName())+len(q.GetOwner().GetOh())), tooLarge((len(q.GetFh())+len(q.GetPrivate()))/8))
	case l.Host != nil:
		rec := &HostRecord{}
		parse(l.Host, rec)
		c.Hosts = append(c.Hosts, hostOf(rec))
		op.Host = &c.Hosts[len(c.Hosts)-1]
		err = errors.Join(err, tooLarge(len(rec.Name)), tooLarge(len(rec.Address)))
	default:
		err = errors.New("neither range, open, host nor end")
	}
	return op, err
}

// tooLarge keeps a record that nobody can have exported from being written.
func tooLarge(n int) error {
	if n > maxKey-256 {
		return fmt.Errorf("a name of %d bytes", n)
	}
	return nil
}

// peekHighWater is what the high-water file says; nothing where there is none.
func peekHighWater(dir string) (marks, error) {
	if dir == "" {
		return marks{}, nil
	}
	if _, err := os.Stat(filepath.Join(dir, HighWaterFile)); errors.Is(err, fs.ErrNotExist) {
		return marks{}, nil
	}
	h, high, _, err := openHighWater(dir)
	h.close()
	return high, err
}
