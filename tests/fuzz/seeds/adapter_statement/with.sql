WITH p AS MATERIALIZED (SELECT * FROM person)
SELECT id, CASE WHEN name NOT GLOB 'x*' THEN name END AS name, province FROM p WHERE id = :id /* end */ ;
