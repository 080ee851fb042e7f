// Package wire reads and builds the little-endian messages of SMB2 and its neighbours.
//
// A Cursor reads a message field by field; its first fault sticks, later reads give zeros, and whoever began asks End once. What is
// read aliases the message. Lengths and offsets are compared in 64 bits. Building is appending.
//
// No locks.
package wire
