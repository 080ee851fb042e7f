package nfs3

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	read     prometheus.Counter
	written  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_nfs3_requests_total", Help: "NFSv3 calls by procedure and status."}, []string{"proc", "status"}),
		read:     prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_nfs3_read_bytes_total", Help: "Bytes that READ returned."}),
		written:  prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_nfs3_written_bytes_total", Help: "Bytes that WRITE took."}),
	}
	if reg == nil {
		return m
	}
	m.requests = register(reg, m.requests)
	m.read = register(reg, m.read)
	m.written = register(reg, m.written)
	return m
}

// register registers c, or returns its twin that another server registered.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	var twin prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &twin) {
		if t, ok := twin.ExistingCollector.(C); ok {
			return t
		}
	}
	return c
}

// counter returns what counts one procedure's answers; good ones are looked up once.
func (m *metrics) counter(proc string) func(Status) {
	ok := m.requests.WithLabelValues(proc, OK.String())
	return func(s Status) {
		if s == OK {
			ok.Inc()
		} else {
			m.requests.WithLabelValues(proc, s.String()).Inc()
		}
	}
}
