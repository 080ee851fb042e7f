package hatch

import "context"

// Lanes counts the lanes at a hatch.
func (h *House) Lanes(hatch string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.visits[hatch]; v != nil {
		return len(v.lanes)
	}
	return 0
}

// Answer answers a lane's request at a hatch without its seat's end for wrong bytes.
func (h *House) Answer(hatch string, packet []byte) ([]byte, error) {
	h.mu.Lock()
	v := h.visits[hatch]
	h.mu.Unlock()
	v.end = func() {}
	return v.answer(context.Background(), packet, nil)
}
