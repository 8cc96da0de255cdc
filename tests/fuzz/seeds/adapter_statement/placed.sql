-- the person
SELECT id, name FROM person WHERE id = :id AND chapar_rows(province, province);
