package server

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	tickets prometheus.Gauge
	steps   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		tickets: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_lockd_tickets", Help: "Clients that wait for a lock, or for whom one waits."}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_lockd_ticket_transitions_total",
			Help: "Changes of state of tickets."}, []string{"from", "to"}),
	}
	if r != nil {
		r.MustRegister(m.tickets, m.steps)
	}
	return m
}

func (m *metrics) transition(from, to state) {
	m.steps.WithLabelValues(from.String(), to.String()).Inc()
}
