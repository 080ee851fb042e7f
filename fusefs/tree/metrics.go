package tree

import "github.com/prometheus/client_golang/prometheus"

// metrics of all trees of this daemon.
type metrics struct {
	opens   prometheus.Gauge
	passing prometheus.Gauge
	waits   prometheus.Counter
	deaf    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		opens:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_fusefs_opens", Help: "Files open through the mounts."}),
		passing: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_fusefs_passthrough_opens", Help: "Of these, opens whose data the kernel passes through."}),
		waits:   prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_fusefs_waits_total", Help: "Requests of local programs that waited for another holder."}),
		deaf:    prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_fusefs_changes_dropped_total", Help: "Changes by other doors that were left to the cache timeout."}),
	}
	r.MustRegister(m.opens, m.passing, m.waits, m.deaf)
	return m
}
