// Package dtyp is the part of [MS-DTYP] that SMB carries: GUID, SID, ACE, ACL and SECURITY_DESCRIPTOR.
//
// No locks.
package dtyp
