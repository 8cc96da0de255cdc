-- column born: jalali "YYYY/MM/DD"
SELECT a::text AS a, $$x$$ FROM t WHERE id = :id AND chapar_rows(province, p) ORDER BY a LIMIT 2;
