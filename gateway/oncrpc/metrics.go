package oncrpc

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are shared by all servers that have one registerer.
type metrics struct {
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	duplicates  prometheus.Counter
	bad         prometheus.Counter
	connections prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{
		calls: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dittofs_rpc_calls_total",
			Help: "RPC calls by program, procedure and accept state."}, []string{"program", "proc", "result"})),
		seconds: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dittofs_rpc_call_seconds",
			Help: "Time that calls took, without sending the reply.", Buckets: prometheus.ExponentialBuckets(20e-6, 4, 10)}, []string{"program", "proc"})),
		duplicates: register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_rpc_duplicates_total",
			Help: "Retransmitted calls that the duplicate request cache answered or dropped."})),
		bad: register(r, prometheus.NewCounter(prometheus.CounterOpts{Name: "dittofs_rpc_bad_records_total",
			Help: "Records and datagrams that were no call."})),
		connections: register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: "dittofs_rpc_connections",
			Help: "Connections that are open."})),
	}
}

// register registers c, or returns its twin that another server registered.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var twin prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &twin) {
		if t, ok := twin.ExistingCollector.(C); ok {
			return t
		}
	}
	return c
}

// procMetrics are one procedure's, looked up once.
type procMetrics struct {
	ok      prometheus.Counter
	seconds prometheus.Observer
}
