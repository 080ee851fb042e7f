package server

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	notified, announced, refused prometheus.Counter
	registrations                prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		notified:  counter("dittofs_statd_notified_total", "SM_NOTIFY that came in."),
		announced: counter("dittofs_statd_announced_total", "Hosts that were told of our state."),
		refused:   counter("dittofs_statd_refused_total", "Registrations that did not come from this host."),
		registrations: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_statd_registrations",
			Help: "Hosts that a lock manager of this host has monitored."}),
	}
	if r != nil {
		r.MustRegister(m.notified, m.announced, m.refused, m.registrations)
	}
	return m
}
