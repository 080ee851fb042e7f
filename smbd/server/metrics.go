package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

type metrics struct {
	connections prometheus.Gauge
	opens       prometheus.Gauge
	refused     prometheus.Counter
	requests    *prometheus.CounterVec
	bytes       *prometheus.CounterVec

	succeeded     [smb2.OplockBreak + 1]prometheus.Counter // of requests, those with STATUS_SUCCESS
	read, written prometheus.Counter                       // of bytes
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
	for c := range m.succeeded {
		m.succeeded[c] = m.requests.WithLabelValues(smb2.Command(c).String(), ntstatus.Success.String())
	}
	m.read, m.written = m.bytes.WithLabelValues("read"), m.bytes.WithLabelValues("written")
	if reg != nil {
		reg.MustRegister(m.connections, m.opens, m.refused, m.requests, m.bytes)
	}
	return m
}

// answered counts a request.
func (m *metrics) answered(c smb2.Command, st ntstatus.Status) {
	if st == ntstatus.Success && int(c) < len(m.succeeded) {
		m.succeeded[c].Inc()
		return
	}
	m.requests.WithLabelValues(c.String(), st.String()).Inc()
}
