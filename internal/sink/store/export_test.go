// SPDX-License-Identifier: Apache-2.0

package store

import "database/sql"

// DB is the pool, for tests to look behind.
func (s *Store) DB() *sql.DB { return s.db }
