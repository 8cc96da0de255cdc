SELECT
    farmer AS farmer_id,
    number,
    hectares AS area,
    water,
    crop,
    titled,
    village,
    province,
    county
FROM parcel
WHERE farmer = :national_id
ORDER BY hectares DESC, number
