// SPDX-License-Identifier: Apache-2.0

package control

import "github.com/autobus-io/autobus/internal/kafka"

// Displace lets the state be followed from offset on, as if that had been reached long ago. Before Run only.
func (s *State) Displace(offset int64) (err error) {
	s.reader.Close()
	s.reader, err = s.log.Follow(map[kafka.TP]int64{statePartition: offset})
	return err
}

// Close ends a State that nobody follows.
func (s *State) Close() { s.reader.Close() }
