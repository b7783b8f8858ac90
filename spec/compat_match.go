// SPDX-License-Identifier: Apache-2.0

package spec

// matching pairs as many rows with columns as can be; fits tells which may go together. It gives the column of each
// row, -1 for none. Where there is a choice, a row gets the column of its own number.
func matching(rows, columns int, fits func(row, column int) bool) []int {
	rowOf := make([]int, columns)
	for i := range rowOf {
		rowOf[i] = -1
	}
	for row := range rows {
		augment(row, rowOf, make([]bool, columns), fits)
	}
	columnOf := make([]int, rows)
	for i := range columnOf {
		columnOf[i] = -1
	}
	for column, row := range rowOf {
		if row >= 0 {
			columnOf[row] = column
		}
	}
	return columnOf
}

// augment finds a column for a row, where needed by moving other rows to other columns.
func augment(row int, rowOf []int, tried []bool, fits func(row, column int) bool) bool {
	for i := range tried {
		column := (row + i) % len(tried)
		if tried[column] || !fits(row, column) {
			continue
		}
		tried[column] = true
		if rowOf[column] < 0 || augment(rowOf[column], rowOf, tried, fits) {
			rowOf[column] = row
			return true
		}
	}
	return false
}
