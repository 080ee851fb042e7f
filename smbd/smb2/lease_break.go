package smb2

import "dittofs/smbd/wire"

// NotifyBreakAckRequired says that the client must acknowledge.
const NotifyBreakAckRequired uint32 = 1

// LeaseBreakNotification tells a client that its lease goes down to NewState. 2.2.23.2.
type LeaseBreakNotification struct {
	NewEpoch     uint16 // V2; 0 for V1
	Flags        uint32
	Key          LeaseKey
	CurrentState LeaseState
	NewState     LeaseState
}

// Parse reads the message.
func (r *LeaseBreakNotification) Parse(b []byte) error {
	c := body(b, 44)
	r.NewEpoch = c.Uint16()
	r.Flags = c.Uint32()
	r.Key = c.Bytes16()
	r.CurrentState = LeaseState(c.Uint32())
	r.NewState = LeaseState(c.Uint32())
	c.Skip(12) // BreakReason, AccessMaskHint, ShareMaskHint
	return c.End()
}

// Append appends the body.
func (r *LeaseBreakNotification) Append(b []byte) []byte {
	b = wire.Append16(b, 44)
	b = wire.Append16(b, r.NewEpoch)
	b = wire.Append32(b, r.Flags)
	b = append(b, r.Key[:]...)
	b = wire.Append32(b, uint32(r.CurrentState))
	b = wire.Append32(b, uint32(r.NewState))
	return wire.AppendZero(b, 12)
}

// LeaseBreakAcknowledgement is the client's answer: what it keeps. 2.2.24.2.
type LeaseBreakAcknowledgement struct {
	Key   LeaseKey
	State LeaseState
}

// Parse reads the message.
func (r *LeaseBreakAcknowledgement) Parse(b []byte) error {
	return parseLeaseBreak(b, &r.Key, &r.State)
}

// Append appends the body.
func (r *LeaseBreakAcknowledgement) Append(b []byte) []byte {
	return appendLeaseBreak(b, r.Key, r.State)
}

// LeaseBreakResponse ends the break. 2.2.25.2.
type LeaseBreakResponse struct {
	Key   LeaseKey
	State LeaseState
}

// Parse reads the message.
func (r *LeaseBreakResponse) Parse(b []byte) error { return parseLeaseBreak(b, &r.Key, &r.State) }

// Append appends the body.
func (r *LeaseBreakResponse) Append(b []byte) []byte { return appendLeaseBreak(b, r.Key, r.State) }

func parseLeaseBreak(b []byte, key *LeaseKey, state *LeaseState) error {
	c := body(b, 36)
	c.Skip(6) // Reserved, Flags
	*key = c.Bytes16()
	*state = LeaseState(c.Uint32())
	c.Skip(8) // LeaseDuration
	return c.End()
}

func appendLeaseBreak(b []byte, key LeaseKey, state LeaseState) []byte {
	b = wire.Append16(b, 36)
	b = wire.AppendZero(b, 6)
	b = append(b, key[:]...)
	b = wire.Append32(b, uint32(state))
	return wire.AppendZero(b, 8)
}
