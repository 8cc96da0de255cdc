-- unused: a
SELECT `a` FROM t # c
WHERE id = :id AND x = 'it\'s' ORDER BY a
