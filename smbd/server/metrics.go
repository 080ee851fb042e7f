package server

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections prometheus.Gauge
	opens       prometheus.Gauge
	refused     prometheus.Counter
	requests    *prometheus.CounterVec
	bytes       *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_smb_connections", Help: "TCP connections."}),
		opens:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_smb_opens", Help: "Open files and directories."}),
		refused:     prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_smb_logons_refused_total", Help: "Logons that failed."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_smb_requests_total", Help: "Requests by command and answer."},
			[]string{"command", "status"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_smb_bytes_total", Help: "Data read and written."}, []string{"direction"}),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.opens, m.refused, m.requests, m.bytes)
	}
	return m
}
