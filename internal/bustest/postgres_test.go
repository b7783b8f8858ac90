// SPDX-License-Identifier: Apache-2.0

package bustest

import "testing"

func TestPostgresKeepsItsDataOverACrash(t *testing.T) {
	p := Postgres(t)
	p.Psql(t, "postgres", "create table t (n int); insert into t values (7)")
	p.Crash(t)
	p.Start(t)
	if got := p.Psql(t, "postgres", "select n from t"); got != "7\n" {
		t.Errorf("after the crash the row is %q", got)
	}
}
