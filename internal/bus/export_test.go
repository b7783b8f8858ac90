// SPDX-License-Identifier: Apache-2.0

package bus

import "time"

// SetLinger shortens how long a group stays without sessions.
func (b *Bus) SetLinger(d time.Duration) { b.groups.linger = d }
