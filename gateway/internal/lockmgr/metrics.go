package lockmgr

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/lock"
)

// asked is what was asked for, the label kind of grants, denials and waits.
type asked uint8

const (
	askRange asked = iota
	askFlock
	askOpen
	askAccess
	askKinds
)

var askNames = [askKinds]string{"range", "flock", "open", "access"}

// doors are the label protocol; 0 is a request that names none.
var doors = [...]string{"none", lock.NLM: "nlm", lock.SMB: "smb", lock.Local: "local", lock.NFS: "nfs"}

func doorOf(d lock.Door) int {
	if int(d) < len(doors) {
		return int(d)
	}
	return 0
}

// usual is what each door asks for; its series are there from the start.
var usual = [len(doors)][]asked{lock.NLM: {askRange, askOpen}, lock.SMB: {askRange, askOpen, askAccess}, lock.Local: {askRange, askFlock, askOpen, askAccess},
	lock.NFS: {askAccess}}

type metrics struct {
	grants    [len(doors)][askKinds]prometheus.Counter // nil where unusual
	granted   *prometheus.CounterVec
	denials   *prometheus.CounterVec
	wait      *prometheus.HistogramVec
	hold      [len(doors)]prometheus.Observer
	breaks    [lock.LeaseV2 + 1]prometheus.Counter
	broken    [lock.Closed + 1]prometheus.Observer
	reclaims  *prometheus.CounterVec
	deadlocks prometheus.Counter
	limits    *prometheus.CounterVec
	revoked   map[lock.Kind]prometheus.Counter
}

func newMetrics(m *Manager, reg prometheus.Registerer) *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, from float64, n int, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(from, 4, n)}, labels)
	}
	granted := counters("dittofs_lock_grants_total", "What was granted, at once or after waiting.", "protocol", "kind")
	wait := seconds("dittofs_lock_wait_seconds", "How long those waited who had to, whatever the end.", 0.0001, 12, "protocol", "kind")
	hold := seconds("dittofs_lock_hold_seconds", "How long byte-range locks were held.", 0.001, 14, "protocol")
	breaks := counters("dittofs_lease_breaks_total", "Breaks of leases and oplocks that were sent.", "kind")
	broken := seconds("dittofs_lease_break_seconds", "How long breaks took that had to be acknowledged, by how they ended.", 0.0005, 10, "end")
	revoked := counters("dittofs_lock_revoked_total", "What the administrator took away.", "kind")
	x := &metrics{granted: granted, wait: wait,
		denials:   counters("dittofs_lock_denials_total", "What was refused, at once or after waiting.", "protocol", "kind", "reason"),
		reclaims:  counters("dittofs_lock_reclaims_total", "NLM locks that clients reclaimed after a restart, by outcome.", "outcome"),
		deadlocks: prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_lock_deadlocks_total", Help: "Cycles in the wait-for graph that were broken."}),
		limits:    counters("dittofs_lock_limit_hits_total", "Requests that were refused because of a limit, by the setting.", "limit"),
		revoked:   map[lock.Kind]prometheus.Counter{},
	}
	for d, door := range doors {
		for _, k := range usual[d] {
			x.grants[d][k] = granted.WithLabelValues(door, askNames[k])
			wait.WithLabelValues(door, askNames[k])
			x.denials.WithLabelValues(door, askNames[k], lock.Denied.String())
		}
		x.hold[d] = prometheus.ObserverFunc(func(float64) {}) // of a door that holds no ranges
		if slices.Contains(usual[d], askRange) {
			x.hold[d] = hold.WithLabelValues(door)
		}
	}
	for _, o := range []lock.Outcome{lock.Granted, lock.Denied, lock.Grace} {
		x.reclaims.WithLabelValues(o.String())
	}
	for k := range x.breaks {
		x.breaks[k] = breaks.WithLabelValues(cacheName(lock.CacheKind(k)))
	}
	for e, name := range [...]string{"", lock.Acknowledged: "acknowledged", lock.Forced: "forced", lock.Closed: "closed"} {
		if e > 0 {
			x.broken[e] = broken.WithLabelValues(name)
		}
	}
	for k := lock.KindRange; k <= lock.KindWaiter; k <<= 1 {
		x.revoked[k] = revoked.WithLabelValues(k.String())
	}
	for _, l := range limitNames {
		x.limits.WithLabelValues(l)
	}
	if reg != nil {
		reg.MustRegister(granted, x.denials, wait, hold, breaks, broken, x.reclaims, x.deadlocks, x.limits, revoked, gauges{m})
	}
	return x
}

func cacheName(k lock.CacheKind) string {
	if k == lock.Oplock {
		return lock.KindOplock.String()
	}
	return lock.KindLease.String()
}

// ruled counts an answer.
func (x *metrics) ruled(door lock.Door, k asked, o lock.Outcome) {
	switch o {
	case lock.Granted:
		if c := x.grants[doorOf(door)][k]; c != nil {
			c.Inc()
		} else {
			x.granted.WithLabelValues(doors[doorOf(door)], askNames[k]).Inc()
		}
	case lock.Blocked:
	default:
		x.denials.WithLabelValues(doors[doorOf(door)], askNames[k], o.String()).Inc()
	}
}

// The settings that are limits, the label limit.
const (
	limitFile    = "ranges_per_file"
	limitClient  = "ranges_per_client"
	limitAll     = "ranges"
	limitWaiters = "waiters_per_file"
)

var limitNames = [...]string{limitFile, limitClient, limitAll, limitWaiters}

// limit finds the setting that refused a request of c on t, which is locked, and counts it.
func (m *Manager) limit(t *lock.Table, c lock.Client, k asked) (name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case k > askFlock:
		name = limitWaiters
	case m.cfg.RangesPerFile > 0 && t.Counts().Ranges >= m.cfg.RangesPerFile:
		name = limitFile
	case m.cfg.RangesPerClient > 0 && m.perClient[c] >= m.cfg.RangesPerClient:
		name = limitClient
	case m.cfg.Ranges > 0 && m.ranges >= m.cfg.Ranges:
		name = limitAll
	default:
		name = limitWaiters
	}
	m.metrics.limits.WithLabelValues(name).Inc()
	return name
}

// gauges counts what is held when somebody asks.
type gauges struct{ m *Manager }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descLocks     = desc("dittofs_locks", "Byte-range locks and flocks that are held.", "protocol", "kind")
	descUnclaimed = desc("dittofs_locks_unclaimed", "NLM locks on record that nobody has reclaimed since the restart.")
	descOpens     = desc("dittofs_opens", "Opens; a disconnected one is durable and waits for its client.", "protocol", "state")
	descLeases    = desc("dittofs_leases", "Leases and oplocks.", "protocol", "kind")
	descBreaking  = desc("dittofs_leases_breaking", "Leases and oplocks whose break is not acknowledged yet.", "protocol")
	descAccesses  = desc("dittofs_accesses", "Operations under way.", "protocol")
	descWaiters   = desc("dittofs_lock_waiters", "Who waits in line or for a break.", "protocol", "kind")
	descOldest    = desc("dittofs_lock_oldest_wait_seconds", "How long the one has waited who has waited longest; 0: nobody waits.", "protocol")
	descHosts     = desc("dittofs_lock_hosts", "NFS clients that are told of a restart.")
	descGrace     = desc("dittofs_grace_active", "1 while NFS clients reclaim their locks and nothing new is granted to them.")
	descGraceLeft = desc("dittofs_grace_left_seconds", "How long the grace period still runs.")
)

// Describe names the gauges.
func (g gauges) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLocks, descUnclaimed, descOpens, descLeases, descBreaking, descAccesses, descWaiters, descOldest, descHosts, descGrace, descGraceLeft} {
		c <- d
	}
}

// Collect counts.
func (g gauges) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	var n lock.Tally
	g.m.look(func(t *lock.Table) { t.Tally(&n) })
	now, unclaimed := time.Now(), 0
	for d := lock.NLM; d <= lock.NFS; d++ {
		x, door := &n[d], doors[d]
		unclaimed += x.Unclaimed
		for k, v := range [...]int{askOpen: x.OpenWaiters, askAccess: x.AccessWaiters, askRange: x.LockWaiters, askFlock: x.FlockWaiters} {
			if v > 0 || slices.Contains(usual[d], asked(k)) {
				gauge(descWaiters, float64(v), door, askNames[k])
			}
		}
		gauge(descAccesses, float64(x.Accesses), door)
		oldest := 0.0
		if !x.Oldest.IsZero() {
			oldest = now.Sub(x.Oldest).Seconds()
		}
		gauge(descOldest, oldest, door)
		if d == lock.NFS {
			break // it holds nothing
		}
		gauge(descLocks, float64(x.Ranges), door, askNames[askRange])
		gauge(descOpens, float64(x.Opens-x.Lost), door, "connected")
		if d == lock.Local {
			gauge(descLocks, float64(x.Flocks), door, askNames[askFlock])
		}
		if d == lock.SMB {
			gauge(descOpens, float64(x.Lost), door, "disconnected")
			gauge(descLeases, float64(x.Leases), door, lock.KindLease.String())
			gauge(descLeases, float64(x.Oplocks), door, lock.KindOplock.String())
			gauge(descBreaking, float64(x.Breaking), door)
		}
	}
	gauge(descUnclaimed, float64(unclaimed))
	g.m.mu.Lock()
	gauge(descHosts, float64(len(g.m.hosts)))
	g.m.mu.Unlock()
	left := g.m.GraceLeft()
	active := 0.0
	if left > 0 {
		active = 1
	}
	gauge(descGrace, active)
	gauge(descGraceLeft, left.Seconds())
}
