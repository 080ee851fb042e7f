package lockmgr

import (
	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/lock"
)

type metrics struct {
	outcomes  [lock.Late + 1]prometheus.Counter
	answers   *prometheus.CounterVec
	breaks    prometheus.Counter
	forced    prometheus.Counter
	reclaims  prometheus.Counter
	deadlocks prometheus.Counter
}

func newMetrics(m *Manager, reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_lock_outcomes_total", Help: "Answers of the counter's verbs."}, []string{"outcome"})
	x := &metrics{
		answers:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_lock_ticket_answers_total", Help: "How waiting ended."}, []string{"outcome"}),
		breaks:    counter("dittofs_lease_breaks_total", "Breaks of leases and oplocks that were sent."),
		forced:    counter("dittofs_lease_breaks_forced_total", "Breaks that nobody acknowledged in time."),
		reclaims:  counter("dittofs_lock_reclaims_total", "NLM locks that were reclaimed in grace."),
		deadlocks: counter("dittofs_lock_deadlocks_total", "Cycles in the wait-for graph that were broken."),
	}
	for o := range x.outcomes {
		x.outcomes[o] = outcomes.WithLabelValues(lock.Outcome(o).String())
	}
	if reg != nil {
		reg.MustRegister(outcomes, x.answers, x.breaks, x.forced, x.reclaims, x.deadlocks, gauges{m})
	}
	return x
}

func (x *metrics) outcome(o lock.Outcome) lock.Outcome {
	if int(o) < len(x.outcomes) {
		x.outcomes[o].Inc()
	}
	return o
}

func (x *metrics) answered(o lock.Outcome) { x.answers.WithLabelValues(o.String()).Inc() }

// gauges counts what is held when somebody asks.
type gauges struct{ m *Manager }

var (
	descHeld  = prometheus.NewDesc("dittofs_lock_held", "What is held now, by kind.", []string{"kind"}, nil)
	descGrace = prometheus.NewDesc("dittofs_grace_left_seconds", "How long the grace period still runs.", nil, nil)
)

// Describe names the gauges.
func (g gauges) Describe(c chan<- *prometheus.Desc) { c <- descHeld; c <- descGrace }

// Collect counts.
func (g gauges) Collect(c chan<- prometheus.Metric) {
	var n lock.Counts
	g.m.look(func(t *lock.Table) {
		x := t.Counts()
		n.Opens, n.Leases, n.Ranges, n.Waiters, n.Unclaimed = n.Opens+x.Opens, n.Leases+x.Leases, n.Ranges+x.Ranges, n.Waiters+x.Waiters, n.Unclaimed+x.Unclaimed
	})
	for kind, v := range map[string]int{"open": n.Opens, "lease": n.Leases, "range": n.Ranges, "waiter": n.Waiters, "unclaimed": n.Unclaimed} {
		c <- prometheus.MustNewConstMetric(descHeld, prometheus.GaugeValue, float64(v), kind)
	}
	c <- prometheus.MustNewConstMetric(descGrace, prometheus.GaugeValue, g.m.GraceLeft().Seconds())
}
