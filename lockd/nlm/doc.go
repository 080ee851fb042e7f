// Package nlm is the wire of the Network Lock Manager, program 100021: version 4 (RFC 1813 Appendix II) with 64-bit ranges, and versions
// 1 and 3 (X/Open XNFS chapter 10) with 32-bit ones.
//
// A message is the same struct in every version. Its Version says how wide its ranges are and which states it may carry, and is set
// before it is decoded.
//
// How to read: status.go, lock.go with the ranges, then a file for each group of messages, procedures.go last.
//
// No locks.
package nlm
