package semantic

// reordered: the same words, in another relation to each other. Allowed is that one part of the sentence moves as a whole ("For a
// delayed train, how do I …"), which shows by a preposition, a conjunction or a comma at its border.
func reordered(_ *lexicon, al *alignment) bool {
	order, where := al.order()
	if sorted(order) {
		return false
	}
	return rolesDiffer(al) || !blockMoved(al, order, where)
}

// order lists, for the paired content words of a, the places of their partners in b; where has their own places.
func (al *alignment) order() (order, where []int) {
	for i, j := range al.at {
		if j >= 0 && al.a[i].content() && al.a[i].class&(light|weak) == 0 {
			order, where = append(order, j), append(where, i)
		}
	}
	return order, where
}

func sorted(s []int) bool {
	for i := 1; i < len(s); i++ {
		if s[i] < s[i-1] {
			return false
		}
	}
	return true
}

// rolesDiffer: what stands after from, to, than … in one stands elsewhere in the other.
func rolesDiffer(al *alignment) bool {
	for i, j := range al.at {
		if j < 0 || al.a[i].class&relation == 0 {
			continue
		}
		x, y := object(al.a, i), object(al.b, j)
		if x >= 0 && y >= 0 && al.at[x] != y && al.a[x].lemma != al.b[y].lemma {
			return true
		}
	}
	return false
}

// object is the place of the next content word, -1 without one.
func object(ts []token, i int) int {
	for k := i + 1; k < len(ts); k++ {
		if ts[k].content() && ts[k].class&(light|weak) == 0 {
			return k
		}
		if ts[k].class&relation != 0 {
			return -1
		}
	}
	return -1
}

// blockMoved says whether exchanging two neighbouring parts of a gives the order of b, and a border of the parts can be seen in either
// text.
func blockMoved(al *alignment, order, where []int) bool {
	n := len(order)
	lo, hi := 0, n
	rank := ranks(order)
	for lo < n && rank[lo] == lo {
		lo++
	}
	for hi > lo && rank[hi-1] == hi-1 {
		hi--
	}
	// rank[lo:hi] must be k+lo.., then lo..: a rotation.
	cut := lo + 1
	for cut < hi && rank[cut] == rank[cut-1]+1 {
		cut++
	}
	if cut == hi || rank[cut] != lo {
		return false
	}
	for k := cut + 1; k < hi; k++ {
		if rank[k] != rank[k-1]+1 {
			return false
		}
	}
	// In a the parts begin at lo and cut; in b at the partners of the same.
	return border(al.a, where[cut]) || border(al.a, where[lo]) || border(al.b, order[lo]) || border(al.b, order[cut])
}

// ranks turns places into positions among each other.
func ranks(order []int) []int {
	out := make([]int, len(order))
	for i, x := range order {
		for _, y := range order {
			if y < x {
				out[i]++
			}
		}
	}
	return out
}

// border says whether a part of the sentence begins with the content word at i: after a comma, a preposition or a conjunction.
func border(ts []token, i int) bool {
	for ; i >= 0; i-- {
		if ts[i].after == ',' && i > 0 {
			return true
		}
		if i == 0 {
			return false
		}
		prev := &ts[i-1]
		if prev.class&preposition != 0 {
			return true
		}
		if prev.content() && prev.class&(light|weak) == 0 {
			return false
		}
	}
	return false
}
